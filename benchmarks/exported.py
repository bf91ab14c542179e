"""Networks of the zoo as `.onnx` files, as a user would export them."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import torch

from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.reference import load_model


def export_network(name: str, folder: Path) -> Path:
    """Writes `name.onnx` (and its weights beside it, where they are large) to the folder."""
    graph = load_model(name)
    engine = TorchEngine(graph, device="cpu")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            engine.module(graph.inputs, graph.outputs),
            tuple(engine.example()[tensor] for tensor in graph.inputs),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamo=True,
            verbose=False,
        )
    if exported is None:
        raise RuntimeError(f"{name} cannot be exported")
    path = folder / f"{name}.onnx"
    exported.save(path)
    return path
