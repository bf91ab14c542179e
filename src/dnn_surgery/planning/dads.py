"""DADS, the paper's loop (its Algorithm 3) for one measured bandwidth: light, heavy or congested."""

from __future__ import annotations

from dataclasses import replace

from dnn_surgery.planning.dsh import dsh
from dnn_surgery.planning.dsl import dsl
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Mode, Plan
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.ties import TIE


def dads(problem: Problem, link: Link, goal: Goal) -> Plan:
    """DSL's plan while it keeps up with the rate (light), else DSH's (heavy), congested where that does not either.

    Without a rate it is DSL. In mode congested `max_rate_hz` is the rate to lower the camera to.

    Raises:
        InfeasibleError: the pins contradict each other.
    """
    light = dsl(problem, link, goal)
    if goal.rate_hz is None:
        return light
    period_s = (1 + TIE) / goal.rate_hz
    if light.bottleneck_s <= period_s:
        return replace(light, mode="light")
    heavy = dsh(problem, link, goal)
    mode: Mode = "heavy" if heavy.bottleneck_s <= period_s else "congested"
    return replace(heavy, mode=mode)
