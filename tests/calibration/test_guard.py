"""The loop of the guard on plans made by hand: what wins, what is forbidden, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.guard import Guarded, guard, loses_nothing, planner_of, same_way
from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning import CodecCost, Link, Plan, Problem, plan

LINK = Link(bandwidth_bps=8e3, rtt_s=0.0)
PROBLEM = Problem.from_json(
    """{"name": "chain", "outputs": ["c"], "layers": [
    {"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 9000},
    {"name": "a", "inputs": ["in"], "edge_s": 1, "cloud_s": 0, "output_bytes": 4000},
    {"name": "b", "inputs": ["a"], "edge_s": 1, "cloud_s": 0, "output_bytes": 3000},
    {"name": "c", "inputs": ["b"], "edge_s": 2, "cloud_s": 0, "output_bytes": 1}]}"""
).with_codecs(
    {
        "a": [CodecCost("raw", 4000), CodecCost("zstd", 3500), CodecCost("int8", 1000), CodecCost("int4", 500)],
        "b": [CodecCost("raw", 3000), CodecCost("int4", 400)],
    }
)


def every_plan() -> list[Plan]:
    """All partitions of the chain with all codecs, best first."""
    cuts: dict[tuple[str, ...], str | None] = {("in",): "in", ("in", "a"): "a", ("in", "a", "b"): "b"}
    plans = [PROBLEM.cost(edge=("in", "a", "b", "c"), link=LINK)]
    for edge, tensor in cuts.items():
        (ways,) = [t.ways for layer in PROBLEM.layers for t in layer.outputs if t.name == tensor]
        plans += [PROBLEM.cost(edge=edge, link=LINK, codecs={str(tensor): way.name}) for way in ways]
    return sorted(plans, key=lambda plan: plan.latency_s)


def brute_force(forbidden: tuple[Plan, ...]) -> Plan:
    left = [plan for plan in every_plan() if not any(same_way(plan, one) for one in forbidden)]
    if not left:
        raise InfeasibleError("every plan is forbidden")
    return left[0]


def agreeing(shares: dict[tuple[str, str], int]) -> Callable[[Plan], Agreement]:
    """Of 400 frames so many agree, by tensor and codec."""
    return lambda plan: Agreement(shares[plan.sent[0].tensor, plan.sent[0].codec], 400)


def names(guarded: Guarded) -> list[tuple[str, str]]:
    return [(one.plan.sent[0].tensor, one.plan.sent[0].codec) for one in guarded.failed]


def test_the_winner_is_verified_and_the_next_best_follows_when_it_fails() -> None:
    verifier = agreeing({("a", "int4"): 380, ("a", "int8"): 400, ("b", "int4"): 399})
    guarded = guard(brute_force, verifier, accuracy=0.99)
    assert names(guarded) == [("a", "int4")]
    assert (guarded.plan.sent[0].tensor, guarded.plan.sent[0].codec) == ("a", "int8")
    assert guarded.passed.agreement == Agreement(400, 400)
    assert guarded.frames_needed == 381
    assert guarded.failed[0].agreement == Agreement(380, 400)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_with_the_projects_planner_the_same_plans_win(objective: Literal["latency", "throughput"]) -> None:
    verifier = agreeing({("a", "int4"): 380, ("a", "int8"): 381, ("b", "int4"): 382, ("in", "raw"): 400})
    found = guard(
        planner_of(PROBLEM, lambda problem: plan(problem, LINK, objective=objective)), verifier, accuracy=0.99
    )
    assert len(found.failed) == 3
    assert loses_nothing(found.plan)
    if objective == "latency":
        assert same_way(found.plan, guard(brute_force, verifier, accuracy=0.99).plan)


def test_a_number_that_is_seen_but_not_proved_is_not_enough() -> None:
    # 398 of 400 are 99.5 %, but prove only 98.2 %.
    verifier = agreeing({("a", "int4"): 398, ("a", "int8"): 398, ("b", "int4"): 398})
    guarded = guard(brute_force, verifier, accuracy=0.99)
    assert names(guarded) == [("a", "int4"), ("a", "int8"), ("b", "int4")]
    assert guarded.passed.agreement is None
    assert loses_nothing(guarded.plan)
    assert guard(brute_force, verifier, accuracy=0.98).failed == ()


def test_exact_admits_what_loses_nothing_and_asks_for_no_frame() -> None:
    def never(plan: Plan) -> Agreement:
        raise AssertionError("verified")

    guarded = guard(brute_force, never, accuracy=None)
    assert loses_nothing(guarded.plan)
    exact = [plan for plan in every_plan() if loses_nothing(plan)]
    assert same_way(guarded.plan, exact[0])
    assert all(one.agreement is None for one in guarded.failed)


def test_when_no_plan_is_left_the_planners_error_says_so() -> None:
    def lossy_only(forbidden: tuple[Plan, ...]) -> Plan:
        lossy = [plan for plan in every_plan() if not loses_nothing(plan)]
        left = [plan for plan in lossy if not any(same_way(plan, one) for one in forbidden)]
        if not left:
            raise InfeasibleError("nothing is left")
        return left[0]

    with pytest.raises(InfeasibleError, match="nothing is left"):
        guard(lossy_only, lambda plan: Agreement(0, 400), accuracy=0.99)


def test_rounds_are_bounded_and_a_planner_that_repeats_itself_is_told() -> None:
    with pytest.raises(InfeasibleError, match=r"none of the 2 best plans is proved at 0\.9"):
        guard(brute_force, lambda plan: Agreement(0, 9), accuracy=0.9, max_rounds=2)
    with pytest.raises(InputError, match="gave a plan again that had failed: a as int4"):
        guard(lambda forbidden: every_plan()[0], lambda plan: Agreement(0, 9), accuracy=0.9)
    with pytest.raises(InputError, match="lies between 0 and 1"):
        guard(brute_force, lambda plan: Agreement(9, 9), accuracy=1.0)
