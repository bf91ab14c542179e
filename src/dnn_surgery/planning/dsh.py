"""DSH of the paper (its Algorithm 2): a small bottleneck by minimum cuts over a grid of weights.

DSL is run with the costs (alpha T_e, T_t, gamma T_c) for each (alpha, gamma) of a grid, and the partition with the
smallest largest stage is kept. The grid is then refined around the best weights, its step divided by K, until the gain
is below epsilon. Since the grid holds (1, 1), the bottleneck is at most DSL's T_e + T_t + T_c, which is at most three
times the best bottleneck. Complexity: at most `axis`^2 minimum cuts, and (2 K + 1)^2 for each refinement.

The paper's first grid has one point for each whole number up to where a weight stops to matter, which can be 10^8
points. Here an axis holds at most `axis` of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dnn_surgery.planning.dsl import check_rules
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.mincut import DslNetwork
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, make_plan
from dnn_surgery.planning.structure import Floats, Structure

AXIS = 16
EPSILON = 1e-3
DIVISOR = 4
_REFINEMENTS = 8


@dataclass(frozen=True, slots=True)
class Grid:
    """Points an axis at most, the least relative gain worth another refinement, and K, the divisor of the step."""

    axis: int = AXIS
    epsilon: float = EPSILON
    divisor: int = DIVISOR


def dsh(problem: Problem, link: Link, goal: Goal) -> Plan:
    """DSH over the corrected DSL; the first grid is spread geometrically.

    Raises:
        InfeasibleError: the pins contradict each other.
    """
    check_rules(problem.structure)
    return search(problem.structure, problem.structure.dsl, link, goal, name="dsh", spread=np.geomspace)


def search(
    structure: Structure,
    network: DslNetwork,
    link: Link,
    goal: Goal,
    *,
    name: str,
    spread: Callable[[float, float, int], Floats],
    grid: Grid | None = None,
) -> Plan:
    """Algorithm 2 over any form of DSL; `spread` lays at most `axis` points over the range of a weight."""
    grid = grid or Grid()
    verdict = Verdict(goal.objective, name)

    def cut(alpha: float, gamma: float) -> Plan:
        prices = Prices(alpha * goal.edge_load, link.up_byte_s, gamma * goal.cloud_load)
        found = network.solve(prices)
        ways = found.ways[structure.crossing(found.edge)].tolist()
        return make_plan(structure, found.edge, ways, link=link, loads=goal.loads, verdict=verdict)

    alphas, gammas = (_axis(structure, link, times, grid, spread) for times in (structure.edge_s, structure.cloud_s))
    points = {(a, g): cut(a, g) for a in alphas for g in gammas}
    best = min(points, key=lambda point: points[point].bottleneck_s)
    step = 1.0
    for _ in range(_REFINEMENTS):
        before = points[best].bottleneck_s
        step /= grid.divisor
        offsets = [step * k for k in range(-grid.divisor, grid.divisor + 1)]
        for alpha in {max(0.0, best[0] + offset) for offset in offsets}:
            for gamma in {max(0.0, best[1] + offset) for offset in offsets}:
                if (alpha, gamma) not in points:
                    points[alpha, gamma] = cut(alpha, gamma)
        best = min(points, key=lambda point: points[point].bottleneck_s)
        if before - points[best].bottleneck_s <= grid.epsilon * before:
            break
    return replace(points[best], gap=None)


def _axis(
    structure: Structure, link: Link, times: Floats, grid: Grid, spread: Callable[[float, float, int], Floats]
) -> list[float]:
    """Weights from 1 to where even the shortest layer outweighs the largest transfer."""
    shortest = times[times > 0].min(initial=np.inf)
    largest = max((tensor.size_bytes for tensor in structure.tensors), default=0.0) * link.up_byte_s
    top = float(min(max(1.0, np.ceil(largest / shortest)), 1e12))
    points = min(grid.axis, int(top))
    return [float(weight) for weight in spread(1.0, top, points)]
