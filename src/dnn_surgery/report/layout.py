"""Where to draw the layers of a cut network: edge left, cloud right, so that the cut is one straight line.

Of a network with many layers only those near the cut are drawn one by one: what is far from it stands in boxes of
whole segments (a segment ends where everything goes through one layer). Ranks are longest paths, counted within each
side; places within a rank follow the neighbours (the barycentre heuristic of Sugiyama, Tagawa and Toda, 1981).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from dnn_surgery.planning import Problem

# As many boxes in a row as can be read.
_READABLE = 14


@dataclass(frozen=True, slots=True)
class Box:
    """One layer, or several that follow each other, at column `x` and height `y` (in rows, 0 is the middle)."""

    layers: tuple[str, ...]
    at_edge: bool
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """What goes from a box to another: tensor names; `cut` says that it crosses from edge to cloud."""

    source: int
    target: int
    tensors: tuple[str, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and arrows, and the column between edge and cloud."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    cut_x: float


def draw(problem: Problem, edge: Collection[str]) -> Drawing:
    """The drawing of a partition, whose edge runs the layers `edge`."""
    inside = set(edge)
    maker = {tensor.name: layer.name for layer in problem.layers for tensor in layer.outputs}
    order = problem.structure.names
    parents = {layer.name: list(dict.fromkeys(maker[t] for t in layer.inputs)) for layer in problem.layers}
    groups = _group(order, parents, inside) if len(order) > _READABLE else [[name] for name in order]
    number = {name: index for index, members in enumerate(groups) for name in members}
    links: dict[tuple[int, int], list[str]] = {}
    for layer in problem.layers:
        for tensor in layer.inputs:
            pair = (number[maker[tensor]], number[layer.name])
            if pair[0] != pair[1]:
                links.setdefault(pair, []).append(tensor)
    at_edge = [members[0] in inside for members in groups]
    ranks, cut_x = _ranks(at_edge, links)
    heights = _heights(ranks, links)
    boxes = tuple(
        Box(tuple(members), at_edge[index], ranks[index], heights[index]) for index, members in enumerate(groups)
    )
    arrows = tuple(
        Arrow(source, target, tuple(dict.fromkeys(names)), at_edge[source] and not at_edge[target])
        for (source, target), names in links.items()
    )
    return Drawing(boxes, arrows, cut_x)


def _group(order: tuple[str, ...], parents: dict[str, list[str]], inside: set[str]) -> list[list[str]]:
    """Every layer of the segments near the cut alone; the other segments together, in as many boxes as are left."""
    segments = _segments(order, parents)
    near = [any(_touches_cut(name, parents, inside, segment) for name in segment) for segment in segments]
    near = [any(near[max(0, place - 1) : place + 2]) for place in range(len(segments))]
    shown = sum(len(segment) for segment, kept in zip(segments, near, strict=True) if kept)
    distant = near.count(False)
    step = math.ceil(distant / max(2, _READABLE - shown)) if distant else 1
    groups: list[list[str]] = []
    joined = 0
    for segment, kept in zip(segments, near, strict=True):
        if kept:
            groups += [[name] for name in segment]
            joined = 0
        elif joined % step and (groups[-1][0] in inside) == (segment[0] in inside):
            groups[-1] += segment
            joined += 1
        else:
            groups.append(list(segment))
            joined = 1
    return groups


def _segments(order: tuple[str, ...], parents: dict[str, list[str]]) -> list[list[str]]:
    """The order cut behind each layer over which nothing jumps: all that comes later comes through it."""
    place = {name: index for index, name in enumerate(order)}
    last_read = list(range(len(order)))
    for name, above in parents.items():
        for parent in above:
            last_read[place[parent]] = max(last_read[place[parent]], place[name])
    segments: list[list[str]] = [[]]
    reach = 0
    for index, name in enumerate(order):
        segments[-1].append(name)
        # `reach` is how far layers before this one are read.
        if reach <= index and index + 1 < len(order):
            segments.append([])
        reach = max(reach, last_read[index])
    return segments


def _touches_cut(name: str, parents: dict[str, list[str]], inside: set[str], segment: list[str]) -> bool:
    """Whether the layer receives over the cut, or the cut goes through its segment."""
    mixed = len({member in inside for member in segment}) == 2
    return mixed or (name not in inside and any(parent in inside for parent in parents[name]))


def _ranks(at_edge: list[bool], links: dict[tuple[int, int], list[str]]) -> tuple[list[float], float]:
    """The column of each box: longest paths within its side, the cloud's behind the edge's. And the cut's column."""
    ranks = [0] * len(at_edge)
    # Boxes are in topological order: parents come first.
    for source, target in sorted(links, key=lambda pair: pair[1]):
        if at_edge[source] == at_edge[target]:
            ranks[target] = max(ranks[target], ranks[source] + 1)
    width = max((rank for rank, here in zip(ranks, at_edge, strict=True) if here), default=-1) + 1
    gap = 1.0  # room for the names of what is sent
    columns = [float(rank) if here else rank + width + gap for rank, here in zip(ranks, at_edge, strict=True)]
    return columns, width - 1 + (1 + gap) / 2


def _heights(columns: list[float], links: dict[tuple[int, int], list[str]]) -> list[float]:
    """Within each column boxes are spread around the middle in the order of the mean height of their neighbours."""
    near: dict[int, list[int]] = {index: [] for index in range(len(columns))}
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    by_column: dict[float, list[int]] = {}
    for index, column in enumerate(columns):
        by_column.setdefault(column, []).append(index)
    heights = [0.0] * len(columns)
    for members in by_column.values():
        _spread(members, heights)
    for _ in range(6):
        for column in sorted(by_column):
            members = by_column[column]
            members.sort(key=lambda index: _mean([heights[other] for other in near[index]], heights[index]))
            _spread(members, heights)
    return heights


def _spread(members: list[int], heights: list[float]) -> None:
    for place, index in enumerate(members):
        heights[index] = place - (len(members) - 1) / 2


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
