"""Engines by name."""

from __future__ import annotations

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.model.graph import ModelGraph, near

ENGINES = ("torch",)


def make_engine(graph: ModelGraph, *, name: str = "auto", device: str = "auto", threads: int | None = None) -> Engine:
    """The engine called `name`, or the one that suits the graph.

    Args:
        graph: what it will run.
        name: ``auto`` or one of `ENGINES`.
        device: ``auto`` takes CUDA where it is present.
        threads: threads within an operator; None keeps the engine's own choice.

    Raises:
        InputError: no such engine or device.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(f"no engine {name!r}{near(name, ENGINES)}; there is: {', '.join(ENGINES)}")
    from dnn_surgery.execution.torch_engine import TorchEngine

    return TorchEngine(graph, device=device, threads=threads)
