"""Traces a module with what a user put before and after it: pictures in, detections out.

picture --input: Preprocess--> network --detections: suppression--> [N, detections, 6]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from dnn_surgery.errors import ModelError
from dnn_surgery.model.detections import Detections
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.normalisation import PreprocessStage, example_picture, take_pictures
from dnn_surgery.model.pictures import detects, with_picture, with_postprocess
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.preprocess import Preprocess
from dnn_surgery.model.tracing import Examples, trace


def needs_stages(preprocess: Preprocess | None, postprocess: Postprocess | None) -> bool:
    """Whether anything is to be put before or after the module."""
    return preprocess is not None or detects(postprocess)


def trace_with_stages(
    module: nn.Module,
    example_inputs: Examples | None,
    *,
    name: str,
    preprocess: Preprocess | None,
    postprocess: Postprocess | None,
    varying: Collection[int] = (1, 2, 3),
) -> ModelGraph:
    """The graph of a module between its stages. The module is changed.

    Args:
        module: a network with one input.
        example_inputs: what the module itself reads; None where nobody said it.
        name: the model's name.
        preprocess: makes the network's input from a picture; None where it reads pictures (or anything else) itself.
        postprocess: its task ``detect`` puts suppression at the end.
        varying: the dimensions of the example in which the module also reads other sizes.

    Raises:
        ModelError: the module has several inputs, reads pictures already, cannot be traced, or makes no boxes.
    """
    example = _only_tensor(example_inputs, name)
    detect = detects(postprocess)
    names = _free(module, "input"), _free(module, "detections")
    layers = {names[1]: (names[1],)} if detect else {}
    stage, picture = None, None
    if preprocess is not None:
        if example is not None and example.dtype == torch.uint8:
            raise ModelError(f"{name} reads pictures already; preprocess is for models that do not")
        preprocess = _sized(preprocess, example, varying)
        stage, picture = PreprocessStage(preprocess), preprocess.picture
        example, layers = example_picture(picture), {names[0]: (names[0],), **layers}
    if example is None:
        raise ModelError(f"{name} has no example inputs: say with preprocess how a picture becomes its input")
    suppression = Detections(postprocess) if detect and postprocess is not None else None
    take_pictures(module, stage, then=suppression, names=names)
    try:
        graph = trace(module, example, name=name, layers=layers, picture=picture)
    except ModelError as error:
        if picture is None:
            raise
        raise ModelError(f"{error} (tried with a picture of {picture.height} x {picture.width})") from error
    return with_picture(with_postprocess(graph, postprocess, suppressed=detect))


def _free(module: nn.Module, name: str) -> str:
    """The name, with underscores behind it where the module has something of that name already."""
    while hasattr(module, name):
        name += "_"
    return name


def _sized(preprocess: Preprocess, example: torch.Tensor | None, varying: Collection[int]) -> Preprocess:
    if example is None:
        return preprocess.sized_for(None)
    # Without a size of its own it takes the example's.
    sides = {"nchw": (2, 3), "nhwc": (1, 2)}[preprocess.layout] if preprocess.size is not None else ()
    free = set(sides) & set(varying)
    return preprocess.sized_for([None if place in free else side for place, side in enumerate(example.shape)])


def _only_tensor(examples: Any, name: str) -> torch.Tensor | None:
    values = [examples] if isinstance(examples, torch.Tensor) else []
    if isinstance(examples, Mapping):
        values = list(examples.values())
    elif isinstance(examples, Sequence):
        values = list(examples)
    if len(values) > 1 or not all(isinstance(value, torch.Tensor) for value in values):
        raise ModelError(f"{name} has {len(values)} inputs; preprocess and postprocess need a model with one")
    return values[0] if values else None
