"""Where to cut: problems, plans, and the algorithms between them. Needs numpy and scipy only."""

from dnn_surgery.planning.algorithms import Algorithm, plan, register
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan, Sent
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import CodecCost, Measured, Problem, ProblemLayer, TensorCost

__all__ = [
    "Algorithm",
    "CodecCost",
    "Goal",
    "Link",
    "Measured",
    "Plan",
    "Prices",
    "Problem",
    "ProblemLayer",
    "Sent",
    "TensorCost",
    "plan",
    "register",
]
