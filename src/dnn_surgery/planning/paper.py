"""The paper's algorithms to the letter, faults included: what public implementations do, to compare with.

Its graph neither ties the input to the edge nor forbids a layer in the cloud that feeds one at the edge, and knows no
round trip and no pins. So the upload of the input may be free, and the partition may be one that cannot run. The plan's
stages are then the paper's own formula for it: T_e, T_t of the tensors sent from edge to cloud, T_c.
"""

from __future__ import annotations

import numpy as np

from dnn_surgery.planning.dsh import search
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.mincut import DslNetwork
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Verdict, make_plan


def dsl_paper(problem: Problem, link: Link, goal: Goal) -> Plan:
    """The minimum cut of the paper's own graph; `Problem.cost` of it may fail, since it may be no partition."""
    structure = problem.structure
    prices = Prices(goal.edge_load, link.up_byte_s, goal.cloud_load)
    cut = DslNetwork(structure, corrected=False).solve(prices)
    ways = cut.ways[structure.crossing(cut.edge)].tolist()
    verdict = Verdict(goal.objective, "dsl-paper")
    return make_plan(structure, cut.edge, ways, link=link, loads=goal.loads, verdict=verdict)


def dsh_paper(problem: Problem, link: Link, goal: Goal) -> Plan:
    """Algorithm 2 over the paper's own graph, its first grid evenly spread."""
    structure = problem.structure
    network = DslNetwork(structure, corrected=False)
    return search(structure, network, link, goal, name="dsh-paper", spread=np.linspace)
