import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InputError
from dnn_surgery.network.estimator import LinkBelief, LinkEstimator

RTT_S = 0.04


class World:
    """A link with a truth: one transfer a period, its noise and start-up known; a ping whenever one is wanted."""

    def __init__(self, bandwidth_bps: float, *, noise: float = 0.0, startup_s: float = 0.0, seed: int = 0) -> None:
        self.bandwidth_bps, self.noise, self.startup_s = bandwidth_bps, noise, startup_s
        self.estimator, self.now_s, self._random = LinkEstimator(), 0.0, random.Random(seed)

    def seconds(self, size_bytes: float, idle_s: float) -> float:
        rate = self.bandwidth_bps * math.exp(self._random.gauss(0, self.noise))
        return RTT_S + 8 * size_bytes / rate + self.startup_s * min(1.0, idle_s)

    def run(self, count: int, *, size_bytes: float = 100_000, idle_s: float = 0.5) -> LinkBelief:
        for _ in range(count):
            if self.estimator.wants_ping(self.now_s):
                self.estimator.ping(RTT_S, self.now_s)
            seconds = self.seconds(size_bytes, idle_s)
            self.now_s += idle_s + seconds
            self.estimator.transfer(size_bytes, seconds, self.now_s, idle_s=idle_s)
        return self.belief

    @property
    def belief(self) -> LinkBelief:
        found = self.estimator.belief(self.now_s)
        assert found is not None
        return found


def test_nothing_is_believed_before_there_is_evidence() -> None:
    estimator = LinkEstimator()
    assert estimator.belief(0.0) is None
    estimator.ping(RTT_S, 0.0)
    estimator.failed(1.0)
    assert estimator.belief(1.0) is None


@pytest.mark.parametrize("bandwidth_bps", [1e4, 1e6, 2e8])
def test_a_steady_link_is_found_with_its_round_trip(bandwidth_bps: float) -> None:
    belief = World(bandwidth_bps).run(30)
    assert belief.bandwidth_bps == pytest.approx(bandwidth_bps, rel=0.03)
    assert belief.rtt_s == pytest.approx(RTT_S)
    assert belief.confidence > 0.5


@settings(max_examples=15, deadline=None)
@given(st.floats(1e5, 1e8), st.floats(0.02, 0.6), st.integers(10_000, 1_000_000), st.floats(0.0, 3), st.floats(0, 0.2))
def test_what_a_transfer_of_the_same_size_takes_is_predicted(
    bandwidth_bps: float, noise: float, size_bytes: int, idle_s: float, startup_s: float
) -> None:
    """Of one size and one idle time the start cannot be told from the rate, but their sum is right."""
    world = World(bandwidth_bps, noise=noise, startup_s=startup_s)
    belief = world.run(60, size_bytes=size_bytes, idle_s=idle_s)
    truth_s = 8 * size_bytes / bandwidth_bps + startup_s * min(1.0, idle_s)
    assert belief.startup_s + 8 * size_bytes / belief.bandwidth_bps == pytest.approx(truth_s, rel=0.1 + 2 * noise)


@pytest.mark.parametrize("noise", [0.2, 0.4, 0.6])
def test_the_interval_holds_nine_in_ten_transfers(noise: float) -> None:
    held = count = 0
    for seed in range(6):
        world = World(5e6, noise=noise, seed=seed)
        world.run(100, idle_s=0.0)
        drawn = random.Random(-seed)
        for _ in range(60):
            world.run(1, idle_s=0.0)
            belief = world.estimator.belief(world.now_s + 0.2)  # when the next transfer will be done
            assert belief is not None
            held += belief.low_bps <= 5e6 * math.exp(drawn.gauss(0, noise)) <= belief.high_bps
            count += 1
    assert 0.83 <= held / count <= 0.98


@pytest.mark.parametrize("factor", [0.05, 20.0])
def test_one_slow_or_fast_call_does_not_move_it(factor: float) -> None:
    world = World(10e6, noise=0.05)
    before = world.run(30)
    world.bandwidth_bps *= factor
    world.run(1)
    world.bandwidth_bps /= factor
    assert world.belief.bandwidth_bps == pytest.approx(before.bandwidth_bps, rel=0.1)
    assert world.belief.confidence < before.confidence  # but it is not as sure as before
    assert world.run(3).bandwidth_bps == pytest.approx(10e6, rel=0.1)


@pytest.mark.parametrize(
    ("before_bps", "after_bps", "frames"), [(20e6, 1e6, 2), (1e6, 20e6, 2), (10e6, 2e6, 3), (5e6, 2e6, 5)]
)
def test_a_step_is_followed_within_a_few_frames(before_bps: float, after_bps: float, frames: int) -> None:
    world = World(before_bps, noise=0.05)
    world.run(30)
    world.bandwidth_bps = after_bps
    assert world.run(frames).bandwidth_bps == pytest.approx(after_bps, rel=0.25)


def test_the_start_of_an_idle_connection_is_told_from_the_rate() -> None:
    world = World(10e6, startup_s=0.1)
    for _ in range(40):  # bursts of three, the first after a pause
        world.run(1, idle_s=2.0)
        world.run(2, idle_s=0.0)
    assert world.belief.bandwidth_bps == pytest.approx(10e6, rel=0.1)
    world.run(20, idle_s=2.0)
    assert world.belief.startup_s == pytest.approx(0.1, rel=0.25)


def test_a_link_too_fast_to_tell_is_called_fast() -> None:
    assert World(1e10).run(30).bandwidth_bps > 5e8


def test_a_long_silence_may_have_seen_a_step() -> None:
    world = World(1e6)
    sure = world.run(60)
    later = world.estimator.belief(world.now_s + 60)
    assert sure.high_bps < 1.5e6
    assert later is not None
    assert later.high_bps > 8e6


def test_pings_tell_the_round_trip_from_the_rate() -> None:
    """The same size throughout: without a ping everything is rate, with pings the rate is right."""
    deaf = LinkEstimator()
    for number in range(20):
        deaf.transfer(10_000, RTT_S + 0.008, float(number))
    without = deaf.belief(20.0)
    assert without is not None
    assert without.bandwidth_bps < 2e6
    assert World(10e6).run(20, size_bytes=10_000).bandwidth_bps == pytest.approx(10e6, rel=0.05)


def test_pings_are_wanted_at_first_and_then_now_and_then() -> None:
    estimator = LinkEstimator()
    assert estimator.wants_ping(0.0)
    for number in range(3):
        estimator.ping(RTT_S, float(number))
        assert not estimator.wants_ping(number + 0.1)
    assert not estimator.wants_ping(4.0)
    assert estimator.wants_ping(8.0)


def test_one_slow_ping_does_not_move_the_round_trip() -> None:
    estimator = LinkEstimator()
    for seconds in (0.04, 0.041, 0.9, 0.039):
        estimator.ping(seconds, 0.0)
    assert estimator.rtt_s == pytest.approx(0.04, abs=0.002)


def test_tiny_uploads_count_as_pings() -> None:
    estimator = LinkEstimator()
    estimator.transfer(64, RTT_S, 0.0)
    assert estimator.rtt_s == RTT_S
    assert estimator.belief(0.0) is None


def test_without_evidence_it_becomes_less_sure_but_not_without_bound() -> None:
    world = World(10e6, noise=0.3)
    fresh = world.run(60)
    later = [world.estimator.belief(world.now_s + seconds) for seconds in (1, 5, 60, 600)]
    confidences = [belief.confidence for belief in later if belief is not None]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] < fresh.confidence
    assert confidences[3] > 0.01


def test_a_failed_upload_lowers_what_is_believed_and_how_surely() -> None:
    world = World(10e6, noise=0.3)
    before = world.run(100)
    world.estimator.failed(world.now_s, size_bytes=100_000, seconds=2.0)
    assert world.belief.bandwidth_bps < before.bandwidth_bps or world.belief.low_bps < 0.5 * before.low_bps
    assert world.belief.confidence < before.confidence
    world.estimator.failed(world.now_s + 2, size_bytes=100_000, seconds=2.0)
    assert world.belief.bandwidth_bps < 1e6


def test_a_first_probe_that_fails_bounds_the_rate_and_makes_the_next_one_smaller() -> None:
    estimator = LinkEstimator()
    first = estimator.probe_bytes(0.0)
    estimator.failed(10.0, size_bytes=first, seconds=10.0)
    belief = estimator.belief(10.0)
    assert belief is not None
    assert belief.bandwidth_bps < 8 * first / 10
    assert estimator.probe_bytes(10.0) < first


def test_an_upload_that_is_still_under_way_bounds_the_rate() -> None:
    world = World(10e6)
    world.run(20)
    belief = world.estimator.belief(world.now_s, under_way=(100_000, 4.0 + RTT_S))
    assert belief is not None
    assert belief.bandwidth_bps <= 0.8e6 / 3.9
    early = world.estimator.belief(world.now_s, under_way=(100_000, 0.01))
    assert early is not None
    assert early.bandwidth_bps == pytest.approx(10e6, rel=0.03)


def test_a_ping_without_an_answer_is_a_stall_once_it_is_late() -> None:
    world = World(10e6)
    world.run(20)
    found = [world.estimator.belief(world.now_s, pinging_s=seconds) for seconds in (0.0, RTT_S, RTT_S + 1.0)]
    stalls_s = [belief.stalled_s for belief in found if belief is not None]
    assert stalls_s[:2] == [0.0, 0.0]
    assert stalls_s[2] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("size_bytes", "seconds"), [(-1, 1.0), (1, -1.0), (1, math.nan), (1000, math.inf)])
def test_impossible_observations_are_refused(size_bytes: float, seconds: float) -> None:
    with pytest.raises(InputError):
        LinkEstimator().transfer(size_bytes, seconds, 0.0)


def test_confidence_is_the_ratio_of_the_interval() -> None:
    assert LinkBelief(1e6, 0.0, 0.5e6, 2e6, 0.0).confidence == pytest.approx(0.5)
    assert LinkBelief(1e6, 0.0, 1e6, 1e6, 0.0).confidence == 1.0
