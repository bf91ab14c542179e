"""The chain of segments: a graph cut at its bottleneck vertices, so that parts can share what is compiled.

    inputs -> [segment 0] -> b0 -> [segment 1] -> b1 -> ... -> [segment n] -> outputs

Any cut at a border is a prefix of the chain and a rest of it. Where the borders may be,
:mod:`dnn_surgery.model.segments` finds; this chooses among them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import Segment, joined, segments

# What a session costs beyond its layers is the conversion of what enters and leaves it, to the layout of the engine's
# kernels and back, and a fixed overhead a call: about 20 microseconds. With so many it stays far below a per cent.
MAX_SEGMENTS = 24

# Sizes that are computed from shapes (a dynamic batch) run beside the main path; they cost nothing to hand on.
_TINY_BYTES = 256


@dataclass(frozen=True)
class Chain:
    """All segments of a graph, in order."""

    segments: tuple[Segment, ...]

    def steps(self, inputs: Collection[str], outputs: Collection[str]) -> range | None:
        """The segments that compute `outputs` from `inputs`; None if that is not a stretch of the chain."""
        given, wanted = set(inputs), set(outputs) - set(inputs)
        starts = [index for index, segment in enumerate(self.segments) if set(segment.boundary) == given]
        for start in starts:
            missing = set(wanted)
            for index in range(start, len(self.segments)):
                missing.difference_update(self.segments[index].outputs)
                if not missing:
                    return range(start, index + 1)
        return None


def make_chain(graph: ModelGraph, *, max_segments: int = MAX_SEGMENTS) -> Chain:
    """The chain of a graph.

    A border needs one layer that makes all that crosses it, apart from the model's inputs and tiny sizes: inside a
    residual block two tensors would be converted. Of more borders than `max_segments` allows, those with the largest
    tensors are none: a cut there sends most, and the conversion there costs most.
    """
    found = segments(graph, aside=_aside(graph))
    size = {
        place: sum(graph.tensors[tensor].size_bytes for tensor in after.boundary)
        for place, (before, after) in enumerate(pairwise(found), start=1)
        if _passes_one_layer(graph, before, after)
    }
    borders = [0, *sorted(sorted(size, key=lambda place: (size[place], place))[: max_segments - 1]), len(found)]
    return Chain(tuple(joined(graph, found[start:end]) for start, end in pairwise(borders)))


def _passes_one_layer(graph: ModelGraph, before: Segment, after: Segment) -> bool:
    end = graph.layer[before.layers[-1]].outputs
    return all(tensor in end or tensor in graph.inputs or _is_tiny(graph, tensor) for tensor in after.boundary)


def _aside(graph: ModelGraph) -> set[str]:
    """Layers that nothing has to wait for: they make sizes, or only results that no other layer reads."""
    read = {tensor for layer in graph.layers for tensor in layer.inputs}
    return {
        layer.name
        for layer in graph.layers[:-1]
        if all(tensor not in read or _is_tiny(graph, tensor) for tensor in layer.outputs)
    }


def _is_tiny(graph: ModelGraph, tensor: str) -> bool:
    found = graph.tensors[tensor]
    return "int" in found.dtype and found.size_bytes <= _TINY_BYTES


def part_bytes(graph: ModelGraph, inputs: Sequence[str], outputs: Sequence[str]) -> int:
    """Bytes of the weights that a part reads, each once."""
    sizes: dict[tuple[str, ...], int] = {}
    for layer in graph.between(inputs, [name for name in outputs if name not in inputs]):
        sizes[layer.parameters or (layer.name,)] = layer.param_bytes
    return sum(sizes.values())
