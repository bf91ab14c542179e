import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.edge.controller import Controller, ControllerSettings, Decision, Loads
from dnn_surgery.network.estimator import Z90, LinkBelief
from dnn_surgery.planning import Frontier, Link, Plan, Problem, frontier
from tests.evaluation.problems import TINY

STAY, DEEP, UPLOAD = ("in", "a", "b"), ("in", "a"), ("in",)


def belief(bandwidth_bps: float, *, deviation: float = 0.1, age_s: float = 0.0, rtt_s: float = 0.0) -> LinkBelief:
    wide = math.exp(Z90 * deviation)
    return LinkBelief(bandwidth_bps, rtt_s, bandwidth_bps / wide, bandwidth_bps * wide, age_s)


@pytest.fixture(scope="module")
def table() -> Frontier:
    return frontier(Problem.from_json(TINY))


def test_without_evidence_nothing_is_sent_and_a_probe_is_asked_for(table: Frontier) -> None:
    decision = Controller(table).decide(0.0, None)
    assert decision.plan.edge == STAY
    assert decision.probe
    assert "nothing is known" in decision.reason


def test_without_evidence_a_running_plan_is_kept(table: Frontier) -> None:
    controller = Controller(table)
    before = controller.decide(0.0, belief(1e6))
    after = controller.decide(1.0, None)
    assert before.plan.edge == after.plan.edge == UPLOAD
    assert after.probe
    assert not after.changed


@pytest.mark.parametrize("bandwidth_bps", [1e2, 1e3, 5e3, 2e4, 1e5, 1e7])
@pytest.mark.parametrize("loads", [Loads(), Loads(edge=3.0), Loads(cloud=20.0)])
def test_a_sure_belief_gives_the_best_plan_of_the_frontier(table: Frontier, bandwidth_bps: float, loads: Loads) -> None:
    decision = Controller(table).decide(0.0, belief(bandwidth_bps, deviation=1e-9), loads)
    best = table.best(Link(bandwidth_bps), loads.edge, loads.cloud)
    assert decision.plan.latency_s == pytest.approx(best.latency_s)
    assert decision.changed
    assert decision.wanted is None


def test_the_rate_is_kept_up_with_where_a_plan_does(table: Frontier) -> None:
    controller = Controller(table, rate_hz=0.2)
    decision = controller.decide(0.0, belief(1e5, deviation=1e-9))
    assert decision.plan.edge == table.best(Link(1e5), rate_hz=0.2).edge
    slow = Controller(table, rate_hz=1e3).decide(0.0, belief(1e5, deviation=1e-9))
    assert slow.plan.edge == table.best(Link(1e5), rate_hz=1e3).edge


def test_keeping_up_is_judged_in_the_middle_of_the_belief(table: Frontier) -> None:
    """Uploading keeps up at 1/11 s from 4.4 kbit/s on; that the rate may be lower is no reason to stay for ever."""
    controller = Controller(table, rate_hz=1 / 11.5)
    decision = controller.decide(0.0, belief(2e4, deviation=0.8))
    assert decision.plan.sent
    assert Controller(table, rate_hz=1 / 11.5).decide(0.0, belief(1e3, deviation=0.1)).plan.edge == STAY


def test_noise_does_not_throw_out_a_plan_that_just_keeps_up(table: Frontier) -> None:
    """Uploading is the better plan from where it keeps up, and the rate wanders about there."""
    drawn = random.Random(3)
    controller = Controller(table, rate_hz=1 / 4.0)  # a's part takes 3 s; uploading takes 4 s at 12 kbit/s
    changes = 0
    for number in range(200):
        rate = 12.05e3 * math.exp(drawn.gauss(0, 0.01))
        changes += controller.decide(float(number), belief(rate, deviation=0.05)).changed
    assert changes <= 3


def test_a_frame_that_is_sent_needs_no_probe_beside_it(table: Frontier) -> None:
    controller = Controller(table)
    assert controller.decide(0.0, belief(1e2)).plan.edge == STAY
    decision = controller.decide(60.0, belief(1e6, deviation=1.0, age_s=30.0))
    assert decision.changed
    assert not decision.probe


def test_a_frame_that_meets_a_stalled_link_takes_another_plan_and_the_next_one_does_not(table: Frontier) -> None:
    controller = Controller(table)
    fast = belief(1e6, deviation=0.1)
    assert controller.decide(0.0, fast).plan.edge == UPLOAD
    dodges = controller.decide(20.0, replace(fast, stalled_s=5.0))
    assert dodges.plan.edge == STAY
    assert dodges.changed
    assert dodges.probe  # the evidence that the frame would have been
    assert "a ping is late by 5 s" in dodges.reason
    after = controller.decide(40.0, fast)
    assert after.plan.edge == UPLOAD
    assert after.changed


def test_a_stall_that_passes_before_the_upload_or_within_it_is_no_reason_to_stay(table: Frontier) -> None:
    """DEEP's head takes 3 s and a stall of 0.2 s is believed to last another 0.8 s; so does UPLOAD's transfer."""
    for rate in (15e3, 40e3):
        controller = Controller(table, deadline_s=100.0)
        before = controller.decide(0.0, belief(rate))
        assert before.plan.sent
        assert not controller.decide(20.0, replace(belief(rate), stalled_s=0.2)).changed
    only = Controller(table)
    only.decide(0.0, belief(1e6))
    stuck = only.decide(20.0, replace(belief(1e6), stalled_s=50.0), is_ready=lambda plan: plan.edge == UPLOAD)
    assert not stuck.changed  # nothing else is ready


def test_a_ping_is_due_just_before_the_next_frame(table: Frontier) -> None:
    controller = Controller(table, settings=ControllerSettings(look_s=0.3))
    fast = belief(1e6, rtt_s=0.1)
    assert controller.decide(0.0, fast).ping_in_s is None  # how often frames come is not known yet
    assert controller.decide(2.0, fast).ping_in_s == pytest.approx(2.0 - 0.1 - 0.3)
    assert controller.decide(12.0, fast).ping_in_s == pytest.approx((2 + 10) / 2 - 0.4)
    assert controller.decide(14.0, fast).ping_in_s == pytest.approx(1.6)  # one late frame changes little
    for number in range(10):
        often = controller.decide(14.0 + 0.2 * number, fast)
    assert often.ping_in_s is None  # frames come so often that they are evidence themselves
    staying = Controller(table)
    for number in range(3):
        assert staying.decide(2.0 * number, belief(1e2)).ping_in_s is None


def test_a_rate_that_may_be_low_weighs_more_than_one_that_may_be_high(table: Frontier) -> None:
    rates = [10 ** (3 + step / 40) for step in range(160)]
    border = next(rate for rate in rates if table.best(Link(rate)).edge == UPLOAD)
    assert Controller(table).decide(0.0, belief(1.1 * border, deviation=1e-9)).plan.edge == UPLOAD
    assert Controller(table).decide(0.0, belief(1.1 * border, deviation=1.0)).plan.edge != UPLOAD


def test_a_deadline_bounds_what_a_slow_link_can_cost(table: Frontier) -> None:
    """Where a late reply costs little more than staying, a link that is probably fast is worth the try."""
    unsure = belief(4e4, deviation=2.5)
    assert Controller(table).decide(0.0, unsure).plan.edge == STAY
    assert Controller(table, deadline_s=1.0).decide(0.0, unsure).plan.edge == UPLOAD


def test_a_small_gain_is_no_reason_to_change(table: Frontier) -> None:
    controller = Controller(table, settings=ControllerSettings(margin=0.5, doubt=0.0, hold_s=0.0))
    first = controller.decide(0.0, belief(1e2))
    assert first.plan.edge == STAY
    kept = controller.decide(10.0, belief(4e3))
    assert kept.plan.edge == STAY
    assert not kept.changed
    assert "less than" in kept.reason
    assert controller.decide(20.0, belief(1e7)).changed


def test_a_fresh_change_is_held_unless_much_is_gained(table: Frontier) -> None:
    settings_ = ControllerSettings(margin=0.1, doubt=0.0, hold_s=5.0, hold_factor=3.0)
    rates = [10 ** (2 + step / 100) for step in range(400)]
    gains = {rate: 1 - table.best(Link(rate)).latency_s / 11.0 for rate in rates}
    rate = min((rate for rate, gain in gains.items() if 0.15 < gain < 0.25))
    controller = Controller(table, settings=settings_)
    controller.decide(0.0, belief(1e2, deviation=1e-9))
    assert not controller.decide(1.0, belief(rate, deviation=1e-9)).changed
    assert controller.decide(6.0, belief(rate, deviation=1e-9)).changed


def test_only_what_is_compiled_is_taken_and_the_rest_is_named(table: Frontier) -> None:
    def staying(plan: Plan) -> bool:
        return not plan.sent

    controller = Controller(table)
    decision = controller.decide(0.0, belief(1e7), is_ready=staying)
    assert decision.plan.edge == STAY
    assert decision.wanted is not None
    assert decision.wanted.edge == UPLOAD
    ready = controller.decide(1.0, belief(1e7))
    assert ready.plan.edge == UPLOAD
    assert ready.wanted is None


def test_a_plan_that_is_ready_no_more_is_left(table: Frontier) -> None:
    controller = Controller(table)
    assert controller.decide(0.0, belief(1e7)).plan.edge == UPLOAD
    assert controller.decide(0.1, belief(1e7), is_ready=lambda plan: not plan.sent).plan.edge == STAY
    assert controller.decide(0.2, None, is_ready=lambda plan: len(plan.edge) == 2).plan.edge == DEEP


def test_a_stale_belief_asks_for_a_probe_only_where_the_answer_matters(table: Frontier) -> None:
    controller = Controller(table)
    controller.decide(0.0, belief(1e2))
    assert not controller.decide(1.0, belief(1e3, deviation=1.5, age_s=0.1)).probe
    assert controller.decide(1.0, belief(1e3, deviation=1.5, age_s=5.0)).probe
    assert not controller.decide(1.0, belief(1e1, deviation=0.3, age_s=5.0)).probe  # far too slow whatever it is
    sending = Controller(table)
    assert not sending.decide(1.0, belief(1e7, deviation=1.5, age_s=5.0)).probe  # the frame itself will tell


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(2, 7), min_size=2, max_size=40), st.integers(0, 999), st.floats(0.01, 1.5))
def test_decisions_are_ready_have_reasons_and_change_only_for_a_gain(
    exponents: list[float], seed: int, deviation: float
) -> None:
    table = frontier(Problem.from_json(TINY))
    drawn = random.Random(seed)
    controller = Controller(table, rng=random.Random(seed))
    seen: list[Decision] = []
    for number, exponent in enumerate(exponents):
        ready: set[tuple[str, ...]] = {edge for edge in (STAY, DEEP, UPLOAD) if edge == STAY or drawn.random() < 0.7}
        rate = 10**exponent

        def is_ready(plan: Plan, ready: set[tuple[str, ...]] = ready) -> bool:
            return plan.edge in ready

        decision = controller.decide(number * 0.3, belief(rate, deviation=deviation), is_ready=is_ready)
        assert decision.plan.edge in ready
        assert decision.reason
        assert decision.wanted is None or decision.wanted.edge not in ready
        if seen:
            assert decision.changed == (decision.plan.edge != seen[-1].plan.edge)
        seen.append(decision)
    again = Controller(table, rng=random.Random(seed))
    assert again.decide(0.0, belief(10 ** exponents[0], deviation=deviation)).reason  # the same object may start anew


def test_noise_around_the_border_of_two_plans_changes_little(table: Frontier) -> None:
    rates = [10 ** (2 + step / 200) for step in range(800)]
    border = next(now for before, now in pairwise(rates) if table.best(Link(before)).edge != table.best(Link(now)).edge)
    drawn = random.Random(1)
    noisy = [border * math.exp(drawn.gauss(0, 0.02)) for _ in range(300)]
    eager = Controller(table, settings=ControllerSettings(margin=0.0, doubt=0.0, hold_s=0.0))
    usual = Controller(table)
    changes = [
        sum(controller.decide(number * 0.5, belief(rate)).changed for number, rate in enumerate(noisy))
        for controller in (eager, usual)
    ]
    assert changes[0] > 50
    assert changes[1] <= 0.1 * changes[0]


def test_a_fleet_does_not_move_as_one(table: Frontier) -> None:
    """A load that creeps up makes every device leave, but not all of them at the same frame."""
    fleet = [Controller(table, rng=random.Random(number)) for number in range(30)]
    left: dict[int, int] = {}
    for number, controller in enumerate(fleet):
        for step in range(300):
            decision = controller.decide(float(step), belief(1e5), Loads(cloud=1.0 + step / 50))
            if decision.changed and step:
                left[number] = step
                break
    assert len(left) == len(fleet)
    assert len(set(left.values())) > 3
    same = [Controller(table) for _ in range(3)]
    assert len({tuple(c.decide(0.0, belief(1e5)).plan.edge) for c in same}) == 1
