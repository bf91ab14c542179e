"""Which of equally good plans is taken: the other objective, fewer bytes, fewer edge layers, name order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dnn_surgery.planning.plan import Plan

# Sums of the same numbers in another order differ by less than this, relatively.
TIE = 1e-12


def pick(plans: Sequence[Plan], objective: Callable[[Plan], float], other: Callable[[Plan], float]) -> Plan:
    """The best plan by `objective`, ties broken as the module says."""
    left = list(plans)
    for key in (objective, other, lambda plan: plan.sent_bytes):
        best = min(map(key, left))
        left = [plan for plan in left if key(plan) <= best * (1 + TIE)]
    return min(left, key=lambda plan: (len(plan.edge), sorted(plan.edge), tuple(sent.codec for sent in plan.sent)))


def latency(plan: Plan) -> float:
    """Seconds for one frame."""
    return plan.latency_s


def bottleneck(plan: Plan) -> float:
    """Seconds of the slowest stage."""
    return plan.bottleneck_s
