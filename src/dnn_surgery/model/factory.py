"""A model from ``package.module:factory``: a user's code, run only when the user says that it is trusted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.normalisation import PictureInput, example_picture, take_pictures
from dnn_surgery.model.pictures import with_picture, with_postprocess
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.preprocess import Preprocess
from dnn_surgery.model.stages import needs_stages, trace_with_stages
from dnn_surgery.model.tracing import trace
from dnn_surgery.model.weights import load_weights
from dnn_surgery.model.zoo.entry import imagenet_labels, imagenet_picture


def load_factory(
    ref: str,
    weights: str | Path | None = None,
    *,
    preprocess: Preprocess | None = None,
    postprocess: Postprocess | None = None,
) -> ModelGraph:
    """Calls the factory and traces what it returns.

    It returns an `nn.Module`, or `(module, example_inputs)`. Without example inputs (also not as the module's attribute
    or method `example_inputs`) the module is taken to be an image classifier as those of torchvision: it reads
    float32 `[N, 3, 224, 224]`, normalised with ImageNet's mean and standard deviation, and the graph reads the picture.
    With `preprocess` the graph reads the picture as that says; `postprocess` says what the outputs mean.

    Raises:
        ModelError: the factory cannot be imported, raises, or returns something else; the module cannot be traced.
        WeightsError: the weights file does not fit the module.
    """
    name = ref.rpartition(":")[2].rpartition(".")[2]
    module, examples = _call(ref)
    if weights is not None:
        load_weights(module, weights)
    if needs_stages(preprocess, postprocess):
        return trace_with_stages(module, examples, name=name, preprocess=preprocess, postprocess=postprocess)
    if examples is not None:
        graph = with_picture(trace(module, examples, name=name))
    else:
        graph = _trace_classifier(module, name)
    return with_postprocess(graph, postprocess)


def _trace_classifier(module: nn.Module, name: str) -> ModelGraph:
    picture = imagenet_picture()
    take_pictures(module, PictureInput())
    try:
        graph = trace(module, example_picture(picture), name=name, layers={"input": ("input",)}, picture=picture)
    except ModelError as error:
        raise ModelError(
            f"{error} (tried with a picture of {picture.height} x {picture.width}: the factory gives no example_inputs)"
        ) from error
    labels = imagenet_labels()
    scores = graph.tensors[graph.outputs[0]].shape
    return replace(graph, labels=labels) if scores == (1, len(labels)) else graph


def _call(ref: str) -> tuple[nn.Module, Any]:
    """The factory's module and its example inputs, None where it has none."""
    factory = _import(ref)
    if isinstance(factory, nn.Module):
        result: Any = factory
    elif callable(factory):
        try:
            # A factory that draws weights draws the same ones at the edge and in the cloud.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                result = factory()
        except (Exception, SystemExit) as error:
            raise ModelError(f"factory {ref} failed: {_described(error)}") from error
    else:
        raise ModelError(f"{ref} cannot be called: it is of type {type(factory).__name__}")
    module, examples = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"factory {ref} returned {type(module).__name__}, expected torch.nn.Module or (module, example_inputs)"
        )
    if examples is None:
        examples = getattr(module, "example_inputs", None)
        examples = examples() if callable(examples) else examples
    if examples is not None and not isinstance(examples, torch.Tensor | Sequence | Mapping):
        raise ModelError(f"factory {ref}: example inputs are {type(examples).__name__}, expected tensors")
    return module, examples


def _import(ref: str) -> Any:
    module_name, _, attributes = ref.partition(":")
    if not module_name or not attributes:
        raise ModelError(f"{ref!r} is no factory: expected package.module:factory")
    # As people expect of `python -m` and uvicorn: what lies in the current directory can be imported.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(f"cannot import {module_name}: {_described(error)}") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise ModelError(f"{module_name} has no {attributes!r}")
        found = getattr(found, attribute)
    return found


def _described(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
