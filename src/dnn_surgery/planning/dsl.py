"""DSL as an algorithm: the least latency, by a minimum cut, proved."""

from __future__ import annotations

from dataclasses import replace

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, make_plan
from dnn_surgery.planning.structure import Structure, admissible_measured
from dnn_surgery.planning.ties import bottleneck, latency, pick

# A plan is called optimal when its cost is proved to be within this of the least.
PROVED = 1e-9


def dsl(problem: Problem, link: Link, goal: Goal) -> Plan:
    """The partition of least latency, whatever the goal's objective is; complexity of one minimum cut.

    Measured rows are candidates beside the cut; the bound then is the smaller of both.

    Raises:
        InfeasibleError: the pins contradict each other.
    """
    structure = problem.structure
    check_rules(structure)
    cut = structure.dsl.solve(Prices.latency(link, *goal.loads))
    verdict = Verdict("latency", "dsl")
    plans = []
    for edge in (cut.edge, cut.widest, *admissible_measured(structure)):
        ways = cut.ways[structure.crossing(edge)].tolist()
        plans.append(make_plan(structure, edge, ways, link=link, loads=goal.loads, verdict=verdict))
    best = pick(plans, latency, bottleneck)
    bound = min(cut.lower_bound, *(plan.latency_s for plan in plans))
    gap = relative_gap(best.latency_s, bound) if goal.objective == "latency" else None
    return replace(best, objective=goal.objective, optimal=gap is not None and gap <= PROVED, gap=gap)


def check_rules(structure: Structure) -> None:
    """Raises InfeasibleError where pins contradict each other."""
    if structure.rules.conflict:
        raise InfeasibleError(structure.rules.conflict)


def relative_gap(value: float, bound: float) -> float:
    """How far `value` may be above the optimum, relatively, when `bound` is a proved lower bound."""
    return 0.0 if value <= 1e-290 else max(0.0, (value - bound) / value)
