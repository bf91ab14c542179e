"""From a graph traced from PyTorch to an ONNX model whose values are the graph's tensors, by the same names.

All tensors of the graph are outputs of what is exported, in a known order; so which value is which tensor is certain,
whatever the exporter calls, folds or merges in between.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import torch

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import write_model


def export(graph: ModelGraph, folder: Path) -> None:
    """Writes the model to `folder`.

    Raises:
        ModelError: torch's exporter is not installed, or cannot express the model in ONNX.
    """
    names = [name for name in graph.tensors if name not in graph.inputs]
    engine = TorchEngine(graph, device="cpu")
    example = engine.example()
    varying = {
        f"input_{index}": {
            dim: torch.export.Dim.DYNAMIC for dim, size in enumerate(graph.tensors[name].shape) if size is None
        }
        for index, name in enumerate(graph.inputs)
    }
    module = engine.module(graph.inputs, names)
    with _quiet():
        try:
            exported = torch.onnx.export(
                module,
                tuple(example[name] for name in graph.inputs),
                dynamo=True,
                verbose=False,
                dynamic_shapes=tuple(varying.values()) if any(varying.values()) else None,
            )
        except ImportError as error:
            raise ModelError(
                "PyTorch models on ONNX Runtime need onnxscript: pip install dnn-surgery[onnx-export]"
            ) from error
        except Exception as error:  # the exporter raises whatever its passes do
            text = " ".join(str(error.__cause__ or error).split())[:200]
            raise ModelError(f"{graph.name} cannot be exported to ONNX: {type(error).__name__}: {text}") from error
    if exported is None:
        raise ModelError(f"{graph.name} cannot be exported to ONNX")
    write_model(_renamed(exported.model, list(graph.inputs), names), folder)


def _renamed(model: ir.Model, inputs: list[str], outputs: list[str]) -> ir.Model:
    """The model, its inputs and outputs under the graph's names; an output that is another value too is copied."""
    graph = model.graph
    taken = {*inputs, *outputs}
    for value in [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]:
        if value.name in taken:
            value.name = f"{value.name}__inner"
    seen: set[ir.Value] = set(graph.inputs)
    for position, value in enumerate(list(graph.outputs)):
        if value in seen or value.is_initializer():
            copy = ir.node("Identity", [value])
            graph.append(copy)
            copy.outputs[0].type, copy.outputs[0].shape = value.type, value.shape
            graph.outputs[position] = copy.outputs[0]
        seen.add(value)
    for value, name in zip(graph.inputs, inputs, strict=True):
        value.name = name
    for value, name in zip(graph.outputs, outputs, strict=True):
        value.name = name
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter prints, warns and logs is for its developers; what went wrong is in the error raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
