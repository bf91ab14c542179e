"""The chain of segments: a graph cut at its bottleneck vertices, so that parts can share what is compiled.

    inputs -> [segment 0] -> b0 -> [segment 1] -> b1 -> ... -> [segment n] -> outputs

A bottleneck vertex is a layer that everything passes through: in topological order, nothing made before it is read
after it. So the layers up to one are a prefix, and any cut at one is a prefix of the chain and a rest of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dnn_surgery.model.graph import ModelGraph

# What a session costs beyond its layers is the conversion of what enters and leaves it, to the layout of the engine's
# kernels and back, and a fixed overhead a call: about 20 microseconds. With so many it stays far below a per cent.
MAX_SEGMENTS = 24

# Sizes that are computed from shapes (a dynamic batch) run beside the main path; they cost nothing to hand on.
_TINY_BYTES = 256


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring layers: computes `outputs` (of the boundary behind it, and results of the model) from `inputs`.

    `boundary` is all that crosses the border before it, also what only a later segment reads.
    """

    boundary: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    param_bytes: int


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

    Of more bottleneck vertices than `max_segments` allows, those with the largest tensors are no borders: a cut there
    sends most, and the conversion there costs most.
    """
    layers = graph.layers
    borders = _bottlenecks(graph)
    size = {
        index: sum(graph.tensors[name].size_bytes for name in graph.boundary(_names(graph, index))) for index in borders
    }
    kept = sorted(sorted(borders, key=lambda index: (size[index], index))[: max_segments - 1])
    segments, previous = [], 0
    first = sum(not layer.inputs for layer in layers)
    before = _crossing(graph, first)
    for border in [*kept, len(layers)]:
        inside = layers[previous:border]
        made = [tensor for layer in inside if layer.inputs for tensor in layer.outputs]
        after = _crossing(graph, border)
        outputs = tuple(tensor for tensor in made if tensor in after or tensor in graph.outputs)
        reads = {tensor for layer in inside for tensor in layer.inputs}
        inputs = tuple(tensor for tensor in before if tensor in reads)
        segments.append(Segment(before, inputs, outputs, sum(layer.param_bytes for layer in inside)))
        previous, before = border, after
    return Chain(tuple(segments))


def _names(graph: ModelGraph, count: int) -> list[str]:
    return [layer.name for layer in graph.layers[:count]]


def _crossing(graph: ModelGraph, count: int) -> tuple[str, ...]:
    """What is made in the first `count` layers and read after them."""
    return graph.boundary(_names(graph, count))


def _bottlenecks(graph: ModelGraph) -> list[int]:
    """Numbers of layers (from the start) after which everything passes through the last one of them."""
    position = {layer.name: index for index, layer in enumerate(graph.layers)}
    last_read: dict[str, int] = {}
    for index, layer in enumerate(graph.layers):
        last_read.update(dict.fromkeys(layer.inputs, index))
    found, open_tensors = [], list[str]()
    free = set(graph.inputs)
    for index, layer in enumerate(graph.layers[:-1]):
        open_tensors = [tensor for tensor in open_tensors if last_read[tensor] > index]
        open_tensors += [tensor for tensor in layer.outputs if last_read.get(tensor, -1) > index]
        if not layer.inputs:
            continue
        main = [tensor for tensor in open_tensors if tensor not in free and not _is_tiny(graph, tensor)]
        if main and all(position[graph.producer[tensor].name] == index for tensor in main):
            found.append(index + 1)
    return found


def _is_tiny(graph: ModelGraph, tensor: str) -> bool:
    found = graph.tensors[tensor]
    return "int" in found.dtype and found.size_bytes <= _TINY_BYTES


def part_bytes(graph: ModelGraph, inputs: Sequence[str], outputs: Sequence[str]) -> int:
    """Bytes of the weights that a part reads, each once."""
    sizes: dict[tuple[str, ...], int] = {}
    for layer in graph.between(inputs, [name for name in outputs if name not in inputs]):
        sizes[layer.parameters or (layer.name,)] = layer.param_bytes
    return sum(sizes.values())
