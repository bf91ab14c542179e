"""Where to cut: problems, plans, and the algorithms between them. Needs numpy and scipy only."""

from dnn_surgery.planning.algorithms import Algorithm, plan, register
from dnn_surgery.planning.baselines import static_best
from dnn_surgery.planning.frontier import Frontier, frontier
from dnn_surgery.planning.goal import Goal, Limits, Power, parse_budget
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan, Sent
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import CodecCost, Forbidden, Measured, Problem, ProblemLayer, TensorCost
from dnn_surgery.planning.tiers import Hop, TierPlan, plan_tiers

__all__ = [
    "Algorithm",
    "CodecCost",
    "Forbidden",
    "Frontier",
    "Goal",
    "Hop",
    "Limits",
    "Link",
    "Measured",
    "Plan",
    "Power",
    "Prices",
    "Problem",
    "ProblemLayer",
    "Sent",
    "TensorCost",
    "TierPlan",
    "frontier",
    "parse_budget",
    "plan",
    "plan_tiers",
    "register",
    "static_best",
]
