"""The algorithm `exact`: the best plan with its proof, by the frontier or, above its cap, by bounds.

Above the cap: latency by one minimum cut; throughput, rates, limits and energy by branch and bound over minimum cuts. A
plan whose proof did not close within the stated number of cuts carries its gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning.branch import MAX_CUTS, Outcome, solve
from dnn_surgery.planning.dsl import PROVED, check_rules, dsl, relative_gap
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.infeasible import why_infeasible
from dnn_surgery.planning.lagrange import Task
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Mode, Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, make_plan
from dnn_surgery.planning.structure import Bools, Structure, admissible_measured, obeys
from dnn_surgery.planning.ties import TIE

_STARTS = 64


def exact(problem: Problem, link: Link, goal: Goal) -> Plan:
    """The best plan for `goal`, proved where the problem's frontier is below its cap.

    Raises:
        InfeasibleError: rules or limits that no partition keeps.
    """
    table = problem.frontier
    return bounded(problem, link, goal) if table is None else table.plan(link, goal)


def bounded(problem: Problem, link: Link, goal: Goal, *, max_cuts: int = MAX_CUTS) -> Plan:
    """The same without the frontier.

    Raises:
        InfeasibleError: rules or limits that no partition keeps, or none found within `max_cuts` minimum cuts.
    """
    structure = problem.structure
    check_rules(structure)
    starts = starting_partitions(structure)
    if goal.rate_hz is None:
        if goal.objective == "latency" and not goal.limits.given and not structure.forbidden:
            return dsl(problem, link, goal)
        return _solved(structure, link, goal, starts, max_cuts)
    fastest = _solved(structure, link, replace(goal, objective="latency", rate_hz=None), starts, max_cuts)
    period_s = (1 + TIE) / goal.rate_hz
    mode: Mode = "light" if fastest.bottleneck_s <= period_s else "heavy"
    steadiest = _solved(structure, link, replace(goal, objective="throughput", rate_hz=None), starts, max_cuts)
    if steadiest.bottleneck_s > period_s:
        return replace(steadiest, objective=goal.objective, mode="congested", max_rate_hz=steadiest.throughput_hz)
    if goal.objective == "throughput":
        return replace(steadiest, mode=mode)
    if goal.objective == "latency" and mode == "light":
        return replace(fastest, mode=mode, max_rate_hz=steadiest.throughput_hz)
    masks = [_mask(structure, plan) for plan in (steadiest, fastest)]
    found = _solved(structure, link, goal, [*masks, *starts], max_cuts)
    return replace(found, mode=mode, max_rate_hz=steadiest.throughput_hz)


def starting_partitions(structure: Structure) -> list[Bools]:
    """Partitions to begin a search with: prefixes of the topological order, and the measured rows."""
    rules = structure.rules
    count = len(structure.names)
    prefixes = [
        ((np.arange(count) < stop) | rules.edge) & ~rules.cloud
        for stop in np.unique(np.linspace(0, count, _STARTS).round().astype(int))
    ]
    return [edge for edge in [rules.edge, ~rules.cloud, *prefixes] if obeys(structure, edge)] + admissible_measured(
        structure
    )


def _solved(structure: Structure, link: Link, goal: Goal, starts: Sequence[Bools], max_cuts: int) -> Plan:
    outcome = solve(structure, Task.of(link, goal), starts, max_cuts)
    if outcome.best is None:
        raise InfeasibleError(_why(structure, link, goal, outcome))
    gap = relative_gap(outcome.value, outcome.bound)
    ways = outcome.best.ways[structure.crossing(outcome.best.edge)].tolist()
    verdict = Verdict(goal.objective, "exact", gap <= PROVED, gap)
    return make_plan(structure, outcome.best.edge, ways, link=link, loads=goal.loads, verdict=verdict)


def _why(structure: Structure, link: Link, goal: Goal, outcome: Outcome) -> str:
    """Names the limit, from the least value that each limited column alone can have."""
    if not goal.limits.given and goal.rate_hz is None:
        return "every partition is forbidden with every choice of codecs"
    if np.isfinite(outcome.bound):
        return f"no partition found that keeps the limits within {outcome.cuts} minimum cuts; there may still be one"
    fewest = structure.dsl.solve(Prices(0.0, 1.0, 0.0)).value
    memory = float(structure.param_bytes[structure.rules.edge].sum())
    latency_s = structure.dsl.solve(Prices.latency(link, *goal.loads)).value
    columns = np.array([0.0, fewest, 0.0, 0.0, memory, 0.0]).reshape(6, 1)
    return why_infeasible(columns, np.array([latency_s]), goal.limits)


def _mask(structure: Structure, plan: Plan) -> Bools:
    inside = set(plan.edge)
    return np.array([name in inside for name in structure.names])
