"""What the tensors of a graph should be, computed from its example: by torch, or without ONNX Runtime's optimiser.

Segment by segment, so that no second model is in memory: what computes one is given up before the next one's begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dnn_surgery.execution.chain import make_chain
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.onnx_session import make_session
from dnn_surgery.execution.onnx_source import PartSource, serialised
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import OnnxProgram
from dnn_surgery.model.segments import Segment

# Computes the tensors named second from the tensors named first.
Compute = Callable[[Sequence[str], Sequence[str], Mapping[str, Array]], Mapping[str, Array]]


class Reference:
    """Tensors of the graph's example by name. Nothing is kept: all together they are large."""

    def __init__(
        self, graph: ModelGraph, segments: Sequence[Segment], example: Mapping[str, Array], compute: Compute
    ) -> None:
        self.graph, self.segments, self.example = graph, segments, example
        self._compute = compute

    def __call__(self, names: Sequence[str]) -> dict[str, Array]:
        """These tensors."""
        missing = {name for name in names if name not in self.example}
        found: dict[str, Array] = {name: self.example[name] for name in names if name in self.example}
        if missing:
            for _, tensors in self.walk(names):
                found.update((name, tensors[name]) for name in missing if name in tensors)
                missing.difference_update(found)
                if not missing:
                    break
        return {name: found[name] for name in names}

    def walk(self, names: Sequence[str] = ()) -> Iterator[tuple[Segment, Mapping[str, Array]]]:
        """Each segment with its inputs and outputs, and those of `names` that are made inside it, in order."""
        held = dict(self.example)
        for place, segment in enumerate(self.segments):
            inside = {tensor for layer in segment.layers for tensor in self.graph.layer[layer].outputs}
            made = tuple(dict.fromkeys((*segment.outputs, *(name for name in names if name in inside))))
            inputs = {name: held[name] for name in segment.inputs}
            results = self._compute(segment.inputs, made, inputs)
            yield segment, {**inputs, **results}
            later = {name for following in self.segments[place + 1 :] for name in following.inputs}
            held = {name: array for name, array in {**held, **results}.items() if name in later}


def make_reference(
    graph: ModelGraph, source: PartSource, *, threads: int, chain: Sequence[Segment] | None = None
) -> Reference:
    """The reference of a graph: the engine that it was traced with, or its operators as they are written.

    It walks along `chain`, by default the graph's own.
    """
    program = graph.program
    walked = make_chain(graph).segments if chain is None else chain
    if isinstance(program, OnnxProgram):

        def compute(inputs: Sequence[str], outputs: Sequence[str], tensors: Mapping[str, Array]) -> dict[str, Array]:
            model = source.model(inputs, outputs)
            session = make_session(
                serialised(model),
                source.folder,
                threads=threads,
                providers=["CPUExecutionProvider"],
                optimised=False,
                shared=source.mapped(model, more=False),
            )
            return dict(zip(outputs, session.run(list(outputs), dict(tensors)), strict=True))

        return Reference(graph, walked, program.example, compute)
    from dnn_surgery.execution.torch_engine import TorchEngine

    torch_engine = TorchEngine(graph, device="cpu")
    example = {name: torch_engine.to_array(value) for name, value in torch_engine.example().items()}

    def run(inputs: Sequence[str], outputs: Sequence[str], tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        return torch_engine.part(inputs, outputs)(tensors)

    return Reference(graph, walked, example, run)
