"""What the tensors of a graph should be, computed from its example: by torch, or without ONNX Runtime's optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.onnx_session import make_session
from dnn_surgery.execution.onnx_source import PartSource
from dnn_surgery.execution.split import needed_inputs
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import OnnxProgram


class Reference(Protocol):
    """Tensors of the graph's example by name."""

    def __call__(self, names: Sequence[str], /) -> Mapping[str, Array]:
        """These tensors; the inputs are known, the others are computed each time, since all of them are large."""


def make_reference(graph: ModelGraph, source: PartSource, *, threads: int) -> Reference:
    """The reference of a graph: the engine that it was traced with, or its operators as they are written."""
    program = graph.program
    if isinstance(program, OnnxProgram):
        example = program.example

        def compute(wanted: Sequence[str]) -> Mapping[str, Array]:
            inputs = needed_inputs(graph, wanted)
            session = make_session(
                source.extract(inputs, wanted),
                source.folder,
                threads=threads,
                providers=["CPUExecutionProvider"],
                optimised=False,
            )
            results = session.run(list(wanted), {name: example[name] for name in inputs})
            return dict(zip(wanted, results, strict=True))
    else:
        from dnn_surgery.execution.torch_engine import TorchEngine

        torch_engine = TorchEngine(graph, device="cpu")
        example = {name: torch_engine.to_array(value) for name, value in torch_engine.example().items()}

        def compute(wanted: Sequence[str]) -> Mapping[str, Array]:
            return torch_engine.part(needed_inputs(graph, wanted), wanted)(example)

    def reference(names: Sequence[str], /) -> Mapping[str, Array]:
        wanted = tuple(name for name in names if name not in example)
        made = compute(wanted) if wanted else {}
        return {name: example[name] if name in example else made[name] for name in names}

    return reference
