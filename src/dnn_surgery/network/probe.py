"""How fast the link is, from calls of two sizes: the paper's ping method, with whatever transport the caller has.

A call that uploads s bytes and gets a tiny answer takes ``t(s) = rtt + 8 s / B``. Two sizes, with medians over repeats
(``m``), cancel what does not depend on the size:

    B   = 8 (large - tiny) / (m(large) - m(tiny))
    rtt = m(tiny) - 8 tiny / B

The noise of a call goes into B through the difference of the times, so the large size grows until that difference
stands out from RTT and noise, within a budget of bytes and seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from dnn_surgery.errors import InputError

Probe = Callable[[int], float]
"""Uploads so many bytes in one call, returns the seconds until its tiny answer."""

_LEAST_EXCESS_S = 0.02  # timers, scheduling and the server's own work are of the order of a millisecond
_EXCESS_OVER_NOISE = 20.0  # so that noise alone moves the result by some 5 %
_LARGEST_GROWTH = 16  # one step; a first guess from a tiny difference may be far off


@dataclass(frozen=True, slots=True)
class Sample:
    """One call: bytes uploaded, seconds taken."""

    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """What the calls say about the link.

    `spread` is the interquartile range of the bandwidths that single large calls give, over `bandwidth_bps`: 0.1 means
    that half of the calls lie within about 5 % of each other's middle. `at_least` says that the link was too fast for
    the budget: the large calls did not stand out from the noise, and `bandwidth_bps` is a lower bound.
    """

    bandwidth_bps: float
    rtt_s: float
    samples: tuple[Sample, ...]
    spread: float
    at_least: bool = False


def estimate_link(
    probe: Probe,
    *,
    sizes: tuple[int, int] = (64, 16_384),
    repeats: int = 5,
    max_bytes: int = 8_000_000,
    budget_s: float = 5.0,
) -> LinkEstimate:
    """Bandwidth and RTT from calls of two sizes; the formula is the module's.

    Args:
        probe: makes one call. Whatever it raises passes through.
        sizes: the tiny size and the first large one, in bytes. Where the large calls take less than 20 ms, the RTT, or
            20 times the tiny calls' noise above the tiny calls, the size grows, at most to `max_bytes`.
        repeats: calls of each size that count. One more tiny call before them pays for connecting.
        max_bytes: the most bytes a call uploads.
        budget_s: seconds of calls after which no more are made, except that two calls of each size are (one where
            `repeats` is 1). So it bounds the time only to within the few calls that an estimate needs.

    Raises:
        InputError: the sizes or bounds make no sense, or the probe returned no time.
    """
    tiny_bytes, large_bytes = sizes
    if not 0 <= tiny_bytes < large_bytes <= max_bytes or repeats < 1 or not budget_s > 0:
        raise InputError(
            f"cannot probe with sizes {tiny_bytes} and {large_bytes} bytes of at most {max_bytes}, "
            f"{repeats} repeats and {budget_s} s: sizes must grow, the rest be positive"
        )
    caller = _Caller(probe, budget_s)
    caller.call(tiny_bytes)  # connects; counts for the budget only
    tiny = caller.repeat(tiny_bytes, repeats)
    large_bytes = _grow(caller, tiny, large_bytes, max_bytes=max_bytes, repeats=repeats)
    return _estimate(tiny, caller.repeat(large_bytes, repeats))


class _Caller:
    """Makes calls and adds up the seconds they take, which is all the clock that is needed."""

    def __init__(self, probe: Probe, budget_s: float) -> None:
        self._probe = probe
        self.left_s = budget_s

    def call(self, size_bytes: int) -> Sample:
        seconds = self._probe(size_bytes)
        if not 0 <= seconds < math.inf:
            raise InputError(f"the probe of {size_bytes} bytes returned {seconds} as its seconds")
        self.left_s -= seconds
        return Sample(size_bytes, seconds)

    def repeat(self, size_bytes: int, repeats: int) -> list[Sample]:
        samples: list[Sample] = []
        while len(samples) < min(repeats, 2) or (len(samples) < repeats and self.left_s > 0):
            samples.append(self.call(size_bytes))
        return samples


def _grow(caller: _Caller, tiny: list[Sample], large_bytes: int, *, max_bytes: int, repeats: int) -> int:
    """A large size whose calls stand out from the tiny ones, and of which the budget pays `repeats` calls."""
    wanted_s = _wanted_excess(tiny)
    while True:
        seconds = caller.call(large_bytes).seconds
        excess_s = max(seconds - _median(tiny), 1e-9)
        affordable = caller.left_s / max(seconds, 1e-9) / (repeats + 1)  # +1: the call that tries the new size
        # Half as much again as seems enough, so that noise does not ask for one more step.
        growth = min(1.5 * wanted_s / excess_s, _LARGEST_GROWTH, affordable, max_bytes / large_bytes)
        if excess_s >= wanted_s or growth <= 1.1:  # a step of a few per cent is not worth a call
            return large_bytes
        large_bytes = min(int(large_bytes * growth), max_bytes)


def _wanted_excess(tiny: list[Sample]) -> float:
    return max(_LEAST_EXCESS_S, _median(tiny), _EXCESS_OVER_NOISE * _noise(tiny))


def _estimate(tiny: list[Sample], large: list[Sample]) -> LinkEstimate:
    size_bits = 8 * (large[0].size_bytes - tiny[0].size_bytes)
    tiny_s = _median(tiny)
    excess_s = _median(large) - tiny_s
    # What the link itself takes cannot be told from less than the noise of the calls (or than a timer's step).
    floor_s = max(_noise(tiny), _noise(large), 1e-6)
    bandwidth_bps = size_bits / max(excess_s, floor_s)
    rates = [size_bits / max(sample.seconds - tiny_s, floor_s) for sample in large]
    return LinkEstimate(
        bandwidth_bps=bandwidth_bps,
        rtt_s=max(0.0, tiny_s - 8 * tiny[0].size_bytes / bandwidth_bps),
        samples=(*tiny, *large),
        spread=_quartile_range(rates) / bandwidth_bps,
        at_least=excess_s < floor_s,
    )


def _median(samples: list[Sample]) -> float:
    return statistics.median(sample.seconds for sample in samples)


def _noise(samples: list[Sample]) -> float:
    """The median distance from the median, in seconds: one slow call does not move it."""
    middle_s = _median(samples)
    return statistics.median(abs(sample.seconds - middle_s) for sample in samples)


def _quartile_range(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first
