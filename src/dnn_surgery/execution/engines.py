"""Engines by name."""

from __future__ import annotations

from collections.abc import Sequence

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.model.graph import ModelGraph, near
from dnn_surgery.model.onnx_extra import require_onnx

ENGINES = ("torch", "onnxruntime")


def make_engine(
    graph: ModelGraph,
    *,
    name: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    providers: Sequence[str] | None = None,
) -> Engine:
    """The engine called `name`, or the one that suits the graph.

    Args:
        graph: what it will run.
        name: ``auto`` (the engine that the graph was made for) or one of `ENGINES`. ONNX Runtime runs both kinds.
        device: ``auto`` takes CUDA where it is present.
        threads: threads within an operator; None keeps the engine's own choice.
        providers: ONNX Runtime's execution providers, by its names, instead of `device`.

    Raises:
        InputError: no such engine or device, or it is not installed.
        ModelError: the engine cannot express the graph.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(f"no engine {name!r}{near(name, ENGINES)}; there is: {', '.join(ENGINES)}")
    if name == "auto":
        name = "onnxruntime" if graph.program.kind == "onnx" else "torch"
    if name == "onnxruntime":
        require_onnx()
        from dnn_surgery.execution.onnx_engine import OnnxEngine

        return OnnxEngine(graph, device=device, providers=providers, threads=threads)
    if providers:
        raise InputError(f"providers are ONNX Runtime's ({', '.join(providers)}); the torch engine takes a device")
    from dnn_surgery.execution.torch_engine import TorchEngine

    return TorchEngine(graph, device=device, threads=threads)
