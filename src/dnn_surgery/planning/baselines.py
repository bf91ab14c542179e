"""What one would do without a planner: all at the edge, all in the cloud, the best prefix, the same cut for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning.exact import exact
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, check_partition, make_plan
from dnn_surgery.planning.structure import Bools, obeys
from dnn_surgery.planning.ties import bottleneck, latency, pick


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


def neurosurgeon(problem: Problem, link: Link, goal: Goal) -> Plan:
    """Neurosurgeon (Kang et al., ASPLOS 2017): the best prefix of the layers in topological order.

    The original predicts layer times by regression; here they are the problem's. On a chain it finds the optimum; of a
    DAG it sees only the partitions that are prefixes of one order. It minimises latency or energy, as the original, or
    the bottleneck. O(layers^2).

    Raises:
        InfeasibleError: no prefix obeys the rules.
    """
    structure = problem.structure
    ways, _ = structure.ways.cheapest(*Prices.latency(link, *goal.loads).travel)
    verdict = Verdict(goal.objective, "neurosurgeon")
    plans = []
    for stop in range(len(structure.names) + 1):
        edge = structure.is_input | (np.arange(len(structure.names)) < stop)
        if obeys(structure, edge):
            chosen = ways[structure.crossing(edge)].tolist()
            plans.append(make_plan(structure, edge, chosen, link=link, loads=goal.loads, verdict=verdict))
    if not plans:
        raise InfeasibleError("no prefix of the topological order obeys the pins and the tensors that may not leave")
    return pick(plans, goal.value, bottleneck if goal.objective == "latency" else latency)


def static_best(problem: Problem, links: Sequence[Link], goal: Goal | None = None) -> tuple[Plan, ...]:
    """The partition that is best at the median bandwidth and round trip of `links`, kept on all of them.

    What one gets by choosing a cut once, well, and never again.

    Raises:
        InfeasibleError: no partition obeys the rules.
        InputError: there are no links.
    """
    if not links:
        raise InputError("a static plan needs at least one link")
    goal = goal or Goal()
    downs = [link.download_bps for link in links if link.download_bps is not None]
    typical = Link(
        float(np.median([link.bandwidth_bps for link in links])),
        float(np.median([link.rtt_s for link in links])),
        float(np.median(downs)) if downs else None,
    )
    chosen = exact(problem, typical, goal)
    codecs = {sent.tensor: sent.codec for sent in chosen.sent}
    loads = {"edge_load": goal.edge_load, "cloud_load": goal.cloud_load}
    plans = (problem.cost(edge=chosen.edge, link=link, codecs=codecs, **loads) for link in links)
    return tuple(replace(plan, objective=goal.objective, algorithm="static-best") for plan in plans)
