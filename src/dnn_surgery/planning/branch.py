"""Branch and bound over minimum cuts: the optimum, or a proved gap, for graphs with too many partitions to list.

[1] A node fixes layers to a side and tensors to some of their codecs. Its bound is Lagrangian (module lagrange).
[2] Every minimum cut on the way is itself a partition: the best of them so far is the incumbent.
[3] What keeps the bound down is a mixture of partitions. The node is split at a layer on which they disagree or, where
    they agree on all layers, at a tensor on whose codec they disagree. A mixture of a single point proves itself.
[4] Nodes are taken by least bound, so the least bound of those left holds for all. The search ends when that is within
    1e-11 of the incumbent, or after `max_cuts` minimum cuts; the gap is known either way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from dnn_surgery.planning.bundles import Bundles
from dnn_surgery.planning.flow import ROUNDS
from dnn_surgery.planning.lagrange import Point, Task, Weights, best_weights, first_weights, point_of
from dnn_surgery.planning.rules import closure
from dnn_surgery.planning.score import columns_of
from dnn_surgery.planning.structure import Bools, Floats, Ints, Structure, admissible_measured, is_forbidden

MAX_CUTS = 500

_CLOSED = 1e-11
_ROUNDS = 40
_POOL = 60


@dataclass(frozen=True, eq=False)
class Outcome:
    """The best partition found (None: none keeps the limits), its value, a proved lower bound, minimum cuts used."""

    best: Point | None
    value: float
    bound: float
    cuts: int


@dataclass(order=True)
class _Node:
    bound: float
    number: int
    fixed: tuple[Bools, Bools] = field(compare=False)
    allowed: Bools = field(compare=False)
    weights: Weights = field(compare=False)
    points: list[Point] = field(compare=False)


@dataclass(frozen=True, eq=False)
class _Relaxed:
    """A node's bound, and the mixture of points that prevents a better one."""

    bound: float
    weights: Weights
    points: list[Point]
    mixture: Floats


def solve(structure: Structure, task: Task, starts: Iterable[Bools] = (), max_cuts: int = MAX_CUTS) -> Outcome:
    """Minimises `task`; `starts` are partitions to begin with. The problem's rules must not contradict each other."""
    return _Search(structure, task, max_cuts).run(starts)


class _Search:
    def __init__(self, structure: Structure, task: Task, max_cuts: int) -> None:
        self._structure, self._task, self._max_cuts = structure, task, max_cuts
        self._best: Point | None = None
        self._value = float("inf")
        self._cuts = self._nodes = 0
        ways = structure.ways
        largest = [
            structure.edge_s.sum() + ways.encode_s.sum(),
            ways.size_bytes.sum(),
            structure.cloud_s.sum() + ways.decode_s.sum(),
            1.0,
            structure.param_bytes.sum(),
            structure.down_bytes.sum(),
        ]
        # No partition costs more than this, so a node that proves more holds none that keeps the limits.
        self._ceiling = (1 + 1e-9) * float(task.objective @ largest + (task.stages @ largest).sum())

    def run(self, starts: Iterable[Bools]) -> Outcome:
        """The search of [4]."""
        structure, weights = self._structure, first_weights(self._task)
        ways, _ = structure.ways.cheapest(*weights.prices(self._task).travel)
        points = [*(point_of(structure, edge, ways) for edge in starts), *self._measured(ways)]
        for point in points:
            self._see(point)
        everything = np.ones(len(structure.ways.codecs), dtype=np.bool_)
        queue = [_Node(0.0, 0, (structure.rules.edge, structure.rules.cloud), everything, weights, points)]
        while queue and self._open(queue[0].bound) and self._cuts < self._max_cuts:
            node = heapq.heappop(queue)
            relaxed = self._relax(node)
            if relaxed is not None:
                for child in self._split(node, relaxed):
                    heapq.heappush(queue, child)
        bound = min([self._value, *(node.bound for node in queue)])
        return Outcome(self._best, self._value, bound, self._cuts)

    def _open(self, bound: float) -> bool:
        """Whether a better partition may lie behind this bound."""
        return bound < self._value * (1 - _CLOSED) and bound <= self._ceiling

    def _see(self, point: Point) -> None:
        """Keeps a partition as the incumbent where it is better and not forbidden [2]."""
        chosen = point.ways[self._structure.crossing(point.edge)].tolist()
        if is_forbidden(self._structure, point.edge, chosen):
            return
        value = self._task.value(columns_of(self._structure, point.edge, chosen).vector)
        if value < self._value:
            self._best, self._value = point, value

    def _measured(self, ways: Ints) -> list[Point]:
        """Bounds are made of sums: what was measured to cost less has to be seen with all its codecs."""
        bundles, points = Bundles(self._structure), []
        for edge in admissible_measured(self._structure):
            crossing = self._structure.crossing(edge)
            for chosen in bundles.of(tuple(crossing.tolist())).ways:
                mixed = ways.copy()
                mixed[crossing] = chosen
                points.append(point_of(self._structure, edge, mixed))
        return points

    def _relax(self, node: _Node) -> _Relaxed | None:
        """Raises the node's bound as far as it helps; None when nothing better is behind it [1]."""
        task, bound, weights = self._task, node.bound, node.weights
        points = node.points[-_POOL:]
        for _ in range(_ROUNDS):
            # The last digits of a bound matter only when it is near the incumbent.
            rounds = ROUNDS if bound > 0.99 * self._value else 1
            cut = self._structure.dsl.solve(weights.prices(task), node.fixed, node.allowed, rounds)
            self._cuts += 1
            bound = max(bound, cut.lower_bound - float(weights.limits @ task.bounds))
            for edge in (cut.edge,) if cut.edge is cut.widest else (cut.edge, cut.widest):
                points.append(point_of(self._structure, edge, cut.ways))
                self._see(points[-1])
            if not self._open(bound):
                return None
            ceiling = min(self._value, self._ceiling)
            proposed, reach, mixture = best_weights(task, points, ceiling or 1.0)
            # Weights cannot prove more than `reach`: what is left to gain is small beside what is left to prove.
            if reach - bound <= max(1e-12 * ceiling, 0.01 * (ceiling - bound)) or self._cuts >= self._max_cuts:
                break
            weights = proposed
        return _Relaxed(bound, proposed, points, mixture)

    def _split(self, node: _Node, relaxed: _Relaxed) -> list[_Node]:
        """Two nodes that exclude the mixture [3]; none where the node is a single choice, which has been seen."""
        active = [(p, w) for p, w in zip(relaxed.points, relaxed.mixture, strict=True) if w > 1e-9] or [
            (relaxed.points[-1], 1.0)
        ]
        shares = np.array([weight for _, weight in active])
        heaviest = active[int(shares.argmax())][0]
        fraction = shares @ np.array([point.edge for point, _ in active]) / shares.sum()
        doubt = np.minimum(fraction, 1 - fraction)
        if doubt.max() > 1e-9:
            return self._split_layer(node, relaxed, doubt)
        crossing = self._structure.crossing(heaviest.edge)
        used = np.array([point.ways[crossing] for point, _ in active])
        differing = crossing[(used != used[0]).any(axis=0)]
        if len(differing):
            return self._split_codec(node, relaxed, int(differing[0]), heaviest)
        return self._split_anyway(node, relaxed, heaviest)

    def _split_anyway(self, node: _Node, relaxed: _Relaxed, point: Point) -> list[_Node]:
        """A single point, but forbidden, measured to cost more, or breaking limits by too little for the weights."""
        edge, cloud = node.fixed
        free = np.flatnonzero(~edge & ~cloud)
        if len(free):
            inside = free[point.edge[free]]
            doubt = np.zeros(len(edge))
            doubt[inside[-1] if len(inside) else free[0]] = 1.0
            return self._split_layer(node, relaxed, doubt)
        start = self._structure.ways.start
        for tensor in self._structure.crossing(point.edge).tolist():
            if node.allowed[start[tensor] : start[tensor + 1]].sum() > 1:
                return self._split_codec(node, relaxed, tensor, point)
        return []

    def _split_layer(self, node: _Node, relaxed: _Relaxed, doubt: Floats) -> list[_Node]:
        """At the layer that halves the cost of those in most doubt."""
        structure, rules = self._structure, self._structure.rules
        doubtful = np.flatnonzero(doubt >= 0.9 * doubt.max())
        cost = np.cumsum(structure.edge_s[doubtful] + structure.cloud_s[doubtful] + 1e-300)
        layer = int(doubtful[np.searchsorted(cost, cost[-1] / 2)])
        edge, cloud = node.fixed
        fixed = [
            (closure([layer], rules.with_edge, edge), cloud),
            (edge, closure([layer], rules.with_cloud, cloud)),
        ]
        return [self._child(relaxed, both, node.allowed) for both in fixed if not (both[0] & both[1]).any()]

    def _split_codec(self, node: _Node, relaxed: _Relaxed, tensor: int, point: Point) -> list[_Node]:
        """The point's codec of the tensor, or any other."""
        start = self._structure.ways.start
        only, without = node.allowed.copy(), node.allowed.copy()
        only[start[tensor] : start[tensor + 1]] = False
        only[point.ways[tensor]] = True
        without[point.ways[tensor]] = False
        return [self._child(relaxed, node.fixed, allowed) for allowed in (only, without)]

    def _child(self, relaxed: _Relaxed, fixed: tuple[Bools, Bools], allowed: Bools) -> _Node:
        self._nodes += 1
        edge, cloud = fixed
        points = [
            point
            for point in relaxed.points
            if point.edge[edge].all() and not point.edge[cloud].any() and allowed[point.ways].all()
        ]
        return _Node(relaxed.bound, self._nodes, fixed, allowed, relaxed.weights, points)
