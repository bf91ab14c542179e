"""Break points of the least latency without a frontier: a parametric minimum cut (Eisner and Severance, 1976).

At any x (seconds a byte takes, or the factor on the edge's seconds) a partition's latency is a line in x, and the least
latency is the lower envelope of these lines: concave, with corners at the break points. Two partitions that are best at
the ends of a stretch cross at one x. If the minimum cut there is no better, that x is the only corner between them; if
it is, its own line splits the stretch in two. One minimum cut finds each line and one proves each corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnn_surgery.planning.breakpoints import Axis, Stretch, span, stretch_of
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, columns_of, make_plan
from dnn_surgery.planning.structure import Bools, Floats, Structure

MOST_CUTS = 120
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class _Line:
    """A partition with its codecs, whose latency is `constant` + `slope` x."""

    edge: Bools
    ways: tuple[int, ...]
    constant: float
    slope: float

    def at(self, x: float) -> float:
        return self.constant + self.slope * x


def latency_breakpoints(problem: Problem, link: Link, goal: Goal, axis: Axis) -> list[Stretch] | None:
    """The stretches of the axis for the least latency, limits and rate aside; None where there are too many.

    Raises:
        InfeasibleError: the pins contradict each other.
    """
    search = _Search(problem.structure, link, goal, axis)
    start, stop = span(axis)
    first, last = search.best(start), search.best(stop)
    corners: list[tuple[float, _Line]] = []
    if not search.between(first, last, corners):
        return None
    lines = [first, *(line for _, line in corners)]
    ends = [start, *(x for x, _ in corners), stop]
    verdict = Verdict("latency", "exact")
    return [
        stretch_of(
            axis,
            (low, high),
            make_plan(problem.structure, line.edge, line.ways, link=link, loads=goal.loads, verdict=verdict),
        )
        for line, low, high in zip(lines, ends, ends[1:], strict=False)
    ]


class _Search:
    def __init__(self, structure: Structure, link: Link, goal: Goal, axis: Axis) -> None:
        self._structure, self._cuts = structure, 0
        prices = Prices.latency(link, *goal.loads).vector
        moving = np.array([axis == "edge slow-down", axis == "bandwidth", False, False, False, False])
        self._fixed = np.where(moving, 0.0, prices)
        # x is the price of a byte itself, but a factor on that of an edge second.
        self._moving: Floats = np.where(moving, 1.0 if axis == "bandwidth" else prices, 0.0)

    def best(self, x: float) -> _Line:
        """The line of the least latency at x."""
        self._cuts += 1
        cut = self._structure.dsl.solve(Prices(*(self._fixed + x * self._moving).tolist()))
        ways = tuple(cut.ways[self._structure.crossing(cut.edge)].tolist())
        columns = columns_of(self._structure, cut.edge, ways, sums=True).vector
        return _Line(cut.edge, ways, float(columns @ self._fixed), float(columns @ self._moving))

    def between(self, left: _Line, right: _Line, corners: list[tuple[float, _Line]]) -> bool:
        """Appends the corners between two lines, in order, each with the line that follows; False when too many."""
        stack = [(left, right)]
        while stack:
            one, other = stack.pop()
            if one.slope <= other.slope * (1 + _SAME):
                continue
            x = (other.constant - one.constant) / (one.slope - other.slope)
            if self._cuts >= MOST_CUTS:
                return False
            middle = self.best(x)
            if middle.at(x) >= one.at(x) * (1 - _SAME):
                corners.append((x, other))
            else:
                stack += [(middle, other), (one, middle)]
        return True
