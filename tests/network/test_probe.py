"""The two-size probe against made-up links."""

import math
import random
from collections.abc import Callable

import pytest

from dnn_surgery.errors import InputError, UnreachableError
from dnn_surgery.network.probe import estimate_link


class MadeUpLink:
    """t = rtt + 8 s / B, with noise of up to `jitter_s` a call and every eighth call one second late."""

    def __init__(self, bandwidth_bps: float, rtt_s: float, *, jitter_s: float = 0.0, outliers: bool = False) -> None:
        self.bandwidth_bps, self.rtt_s, self.jitter_s, self.outliers = bandwidth_bps, rtt_s, jitter_s, outliers
        self.draw = random.Random(7)
        self.calls: list[tuple[int, float]] = []

    def __call__(self, size_bytes: int) -> float:
        seconds = self.rtt_s + 8 * size_bytes / self.bandwidth_bps + self.draw.uniform(0, self.jitter_s)
        if self.outliers and len(self.calls) % 8 == 5:
            seconds += 1.0
        self.calls.append((size_bytes, seconds))
        return seconds


@pytest.mark.parametrize("bandwidth_bps", [0.13e6, 1.1e6, 5.85e6, 18.88e6, 200e6])
@pytest.mark.parametrize("rtt_s", [0.0, 0.002, 0.04, 0.3])
def test_a_link_without_noise_is_found_exactly(bandwidth_bps: float, rtt_s: float) -> None:
    estimate = estimate_link(MadeUpLink(bandwidth_bps, rtt_s))
    assert estimate.bandwidth_bps == pytest.approx(bandwidth_bps, rel=1e-6)
    assert estimate.rtt_s == pytest.approx(rtt_s, abs=1e-9)
    assert estimate.spread == pytest.approx(0.0, abs=1e-6)
    assert not estimate.at_least


@pytest.mark.parametrize("bandwidth_bps", [0.13e6, 5.85e6, 50e6])
def test_noise_moves_the_result_little(bandwidth_bps: float) -> None:
    estimate = estimate_link(MadeUpLink(bandwidth_bps, 0.04, jitter_s=0.004), repeats=9)
    assert estimate.bandwidth_bps == pytest.approx(bandwidth_bps, rel=0.1)
    assert estimate.rtt_s == pytest.approx(0.042, abs=0.002)
    assert 0 < estimate.spread < 0.2


def test_one_slow_call_in_eight_does_not_count() -> None:
    estimate = estimate_link(MadeUpLink(5.85e6, 0.04, outliers=True), repeats=7, budget_s=60)
    assert estimate.bandwidth_bps == pytest.approx(5.85e6, rel=1e-6)
    assert estimate.rtt_s == pytest.approx(0.04, abs=1e-9)


def test_the_first_call_connects_and_does_not_count() -> None:
    link = MadeUpLink(5.85e6, 0.04)

    def slow_to_connect(size_bytes: int) -> float:
        return link(size_bytes) + (3.0 if len(link.calls) == 1 else 0.0)

    assert estimate_link(slow_to_connect, budget_s=10).rtt_s == pytest.approx(0.04, abs=1e-9)


def test_the_large_size_grows_until_it_stands_out_from_the_rtt() -> None:
    link = MadeUpLink(100e6, 0.3)
    estimate = estimate_link(link, budget_s=60)
    largest = max(sample.size_bytes for sample in estimate.samples)
    assert 8 * largest / 100e6 >= 0.3
    assert len({size for size, _ in link.calls}) > 2


def test_a_slow_link_is_not_asked_for_more_than_the_first_size() -> None:
    link = MadeUpLink(0.13e6, 0.04)
    estimate_link(link)
    assert {size for size, _ in link.calls} == {64, 16_384}


@pytest.mark.parametrize("bandwidth_bps", [1e3, 1e5, 1e7, 1e9, 1e12])
@pytest.mark.parametrize("rtt_s", [0.0001, 0.05, 0.5])
def test_bytes_and_seconds_are_bounded(bandwidth_bps: float, rtt_s: float) -> None:
    link = MadeUpLink(bandwidth_bps, rtt_s, jitter_s=0.001)
    estimate_link(link, max_bytes=1_000_000, budget_s=2.0, repeats=5)
    assert max(size for size, _ in link.calls) <= 1_000_000
    longest_s = max(seconds for _, seconds in link.calls)
    # Over the budget go at most the calls that an estimate needs at the least.
    assert sum(seconds for _, seconds in link.calls) <= 2.0 + 3 * rtt_s + 4 * longest_s
    assert len(link.calls) < 30


def test_a_link_that_is_too_fast_gives_a_lower_bound() -> None:
    calls = iter([0.001, 0.0010, 0.0012, 0.0008, 0.0011, 0.0009, *[0.0010, 0.0009, 0.0011] * 10])
    estimate = estimate_link(lambda _: next(calls), max_bytes=1_000_000)
    assert estimate.at_least
    assert 0 < estimate.bandwidth_bps < math.inf
    assert estimate.rtt_s < 0.0012


def test_every_counted_call_is_in_the_samples() -> None:
    link = MadeUpLink(5.85e6, 0.04)
    estimate = estimate_link(link, repeats=4)
    assert [sample.size_bytes for sample in estimate.samples[:4]] == [64] * 4
    assert len(estimate.samples) == 8
    assert {(sample.size_bytes, sample.seconds) for sample in estimate.samples} <= set(link.calls)


def test_what_the_transport_raises_passes_through() -> None:
    def gone(size_bytes: int) -> float:
        raise UnreachableError("nobody there")

    with pytest.raises(UnreachableError, match="nobody there"):
        estimate_link(gone)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -0.1])
def test_a_probe_must_return_a_time(seconds: float) -> None:
    with pytest.raises(InputError, match="the probe of 64 bytes returned"):
        estimate_link(lambda _: seconds)


@pytest.mark.parametrize(
    "call",
    [
        lambda probe: estimate_link(probe, sizes=(100, 100)),
        lambda probe: estimate_link(probe, sizes=(-1, 100)),
        lambda probe: estimate_link(probe, sizes=(1, 100), max_bytes=50),
        lambda probe: estimate_link(probe, repeats=0),
        lambda probe: estimate_link(probe, budget_s=0.0),
    ],
)
def test_bounds_that_make_no_sense(call: Callable[[Callable[[int], float]], object]) -> None:
    with pytest.raises(InputError, match="cannot probe with sizes"):
        call(MadeUpLink(1e6, 0.01))
