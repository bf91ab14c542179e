"""Bottleneck vertices and segments: where a cut leaves every layer on the side that its place in the order says.

A bottleneck vertex is a layer comparable with all others: each of them is needed for it, or needs it. The segment of
one is the layers after the bottleneck vertex before it, itself included. Every down-closed set is a prefix of whole
segments and a down-closed part of the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dnn_surgery.model.graph import ModelGraph


@dataclass(frozen=True, slots=True)
class Segment:
    """Layers in topological order; the last one is a bottleneck vertex, except where the model ends in several.

    `boundary` is all that is made before and read here or later; `inputs` are those of it that are read here;
    `outputs` are what is made here and read later, or is a result of the model.
    """

    layers: tuple[str, ...]
    boundary: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def segments(graph: ModelGraph, *, aside: Collection[str] = ()) -> tuple[Segment, ...]:
    """All layers but the inputs', which nothing has to run, as segments in order.

    Layers `aside` are not asked for: they run in the segment that they stand in, whether or not others need them.
    """
    working = [layer.name for layer in graph.layers if layer.inputs]
    ends = _ends(graph, working, set(aside))
    starts = [0, *(end + 1 for end in ends)]
    if starts[-1] < len(working):
        ends.append(len(working) - 1)
    return tuple(_segment(graph, working[start : end + 1]) for start, end in zip(starts, ends, strict=False))


def joined(graph: ModelGraph, neighbours: Sequence[Segment]) -> Segment:
    """Segments that follow each other as one."""
    return _segment(graph, [name for segment in neighbours for name in segment.layers])


def bottleneck_cuts(graph: ModelGraph) -> tuple[tuple[str, ...], ...]:
    """The layers at the edge for every cut between two segments, from nothing but the inputs to everything."""
    edge = [layer.name for layer in graph.layers if not layer.inputs]
    cuts = [tuple(edge)]
    for segment in segments(graph):
        edge.extend(segment.layers)
        cuts.append(tuple(edge))
    return tuple(cuts)


def _ends(graph: ModelGraph, working: list[str], aside: Collection[str]) -> list[int]:
    """Places in the topological order of the layers that need all before them and are needed by all after them."""
    number = {name: index for index, name in enumerate(working)}
    parents = [
        {number[maker] for tensor in graph.layer[name].inputs if (maker := graph.producer[tensor].name) in number}
        for name in working
    ]
    # Sets as the bits of an integer.
    needs, needed_by = [0] * len(working), [0] * len(working)
    for index, above in enumerate(parents):
        for parent in above:
            needs[index] |= needs[parent] | (1 << parent)
    for index in reversed(range(len(working))):
        for parent in parents[index]:
            needed_by[parent] |= needed_by[index] | (1 << index)
    counted = sum(1 << index for index, name in enumerate(working) if name not in aside)
    ends = []
    for index, name in enumerate(working):
        before = counted & ((1 << index) - 1)
        after = counted >> (index + 1) << (index + 1)
        if name not in aside and needs[index] & before == before and needed_by[index] & after == after:
            ends.append(index)
    return ends


def _segment(graph: ModelGraph, layers: list[str]) -> Segment:
    inside = set(layers)
    before = next(place for place, layer in enumerate(graph.layers) if layer.name in inside)
    boundary = graph.boundary([layer.name for layer in graph.layers[:before]])
    reads = dict.fromkeys(tensor for name in layers for tensor in graph.layer[name].inputs)
    made = [tensor for name in layers for tensor in graph.layer[name].outputs]
    later = {tensor for layer in graph.layers[before + len(layers) :] for tensor in layer.inputs}
    later.update(graph.outputs)
    return Segment(
        layers=tuple(layers),
        boundary=boundary,
        inputs=tuple(tensor for tensor in reads if tensor in boundary),
        outputs=tuple(tensor for tensor in made if tensor in later),
    )
