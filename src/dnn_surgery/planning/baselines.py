"""What one would do without a planner: everything at the edge, or the input uploaded and everything in the cloud."""

from __future__ import annotations

import numpy as np

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, check_partition, make_plan
from dnn_surgery.planning.structure import Bools


def edge_only(problem: Problem, link: Link, goal: Goal) -> Plan:
    """Every layer at the edge; nothing is sent.

    Raises:
        InfeasibleError: a layer is pinned to the cloud.
    """
    return _plain(problem, link, goal, np.ones(len(problem.layers), dtype=np.bool_), "edge-only")


def cloud_only(problem: Problem, link: Link, goal: Goal) -> Plan:
    """Only the inputs at the edge; they are sent with the codec that is cheapest in latency.

    Raises:
        InfeasibleError: a layer is pinned to the edge, or an input may not leave.
    """
    return _plain(problem, link, goal, problem.structure.is_input, "cloud-only")


def _plain(problem: Problem, link: Link, goal: Goal, edge: Bools, name: str) -> Plan:
    structure = problem.structure
    try:
        check_partition(structure, edge)
    except InfeasibleError as error:
        raise InfeasibleError(f"{name} is not allowed: {error}") from None
    prices = Prices.latency(link, *goal.loads)
    ways, _ = structure.ways.cheapest(*prices.travel)
    chosen = ways[structure.crossing(edge)].tolist()
    return make_plan(structure, edge, chosen, link=link, loads=goal.loads, verdict=Verdict(goal.objective, name))
