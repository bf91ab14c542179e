"""Bottleneck vertices and segments: where a cut leaves every layer on the side that its place in the order says.

A bottleneck vertex is a layer comparable with all others: each of them is needed for it, or needs it. The segment of
one is the layers after the bottleneck vertex before it, itself included. Every down-closed set is a prefix of whole
segments and a down-closed part of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from dnn_surgery.model.graph import ModelGraph


@dataclass(frozen=True, slots=True)
class Segment:
    """Layers in topological order; the last one is a bottleneck vertex, except where the model ends in several.

    `inputs` are the tensors that are read here and made before; `outputs` those that are made here and read after, or
    are results of the model.
    """

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def segments(graph: ModelGraph) -> tuple[Segment, ...]:
    """All layers but the inputs', which nothing has to run, as segments in order."""
    working = [layer.name for layer in graph.layers if layer.inputs]
    ends = _ends(graph, working)
    starts = [0, *(end + 1 for end in ends)]
    if starts[-1] < len(working):
        ends.append(len(working) - 1)
    return tuple(_segment(graph, working[start : end + 1]) for start, end in zip(starts, ends, strict=False))


def bottleneck_cuts(graph: ModelGraph) -> tuple[tuple[str, ...], ...]:
    """The layers at the edge for every cut between two segments, from nothing but the inputs to everything."""
    edge = [layer.name for layer in graph.layers if not layer.inputs]
    cuts = [tuple(edge)]
    for segment in segments(graph):
        edge.extend(segment.layers)
        cuts.append(tuple(edge))
    return tuple(cuts)


def _ends(graph: ModelGraph, working: list[str]) -> list[int]:
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
    return [
        index
        for index in range(len(working))
        if needs[index].bit_count() == index and needed_by[index].bit_count() == len(working) - 1 - index
    ]


def _segment(graph: ModelGraph, layers: list[str]) -> Segment:
    inside = set(layers)
    made = [tensor for name in layers for tensor in graph.layer[name].outputs]
    read = dict.fromkeys(tensor for name in layers for tensor in graph.layer[name].inputs if tensor not in made)
    leaving = {tensor for layer in graph.layers if layer.name not in inside for tensor in layer.inputs}
    leaving.update(graph.outputs)
    return Segment(tuple(layers), tuple(read), tuple(tensor for tensor in made if tensor in leaving))
