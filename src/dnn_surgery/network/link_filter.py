"""The extended Kalman filter behind the link's estimate: ln B = level + slow + fast, and start.

The level hardly moves; slow and fast return to 0 within about a minute and two seconds (Ornstein-Uhlenbeck), as the
rates of mobile links do: a bad second is believed for seconds only, and what is not observed widens. Observed is

    ln(seconds a bit) = ln(1 / B + w start / 8 s) + noise.

The covariance is in multiples of a scale that the estimator learns, so it is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEVEL, _SLOW, _FAST, _START = range(4)


@dataclass(frozen=True)
class EstimatorSettings:
    """How the filter is tuned. Variances are of ln B, in multiples of the scale.

    `slow_s` and `fast_s` are the times after which deviations have faded to 1/e, `slow` and `fast` their variances,
    `level_per_s` by how much the level wanders in a second, `noise` what a single transfer scatters. `scale` is the
    scale at first, with the weight of `scale_weight` transfers, later that of the last `scale_memory` or so; never
    below `least_scale`. More than `gate` deviations make a value suspect. A link that nobody looks at takes a step of
    variance `step` (not scaled) every `steps_apart_s` or so. `startup_s` is how large `start` may well be.
    The round trip is the median of `pings`; a ping is wanted every `ping_every_s`. Uploads of up to `tiny_bytes` count
    as pings.
    """

    slow_s: float = 50.0
    fast_s: float = 1.6
    slow: float = 0.3
    fast: float = 0.3
    level_per_s: float = 0.002
    noise: float = 0.25
    scale: float = 0.6
    scale_weight: float = 3.0
    scale_memory: float = 20.0
    least_scale: float = 0.002
    gate: float = 5.0
    step: float = 2.0
    steps_apart_s: float = 60.0
    startup_s: float = 0.03
    pings: int = 7
    ping_every_s: float = 5.0
    tiny_bytes: int = 512


class Seen(NamedTuple):
    """A transfer as the filter takes it: ln of seconds a bit, bits, the share of a full start that it paid.

    `blur` is the variance that the round trip's own jitter adds, which is large for a transfer much shorter than it.
    """

    log_bit_s: float
    bits: float
    idle: float
    blur: float = 0.0


class LinkFilter:
    """State and covariance. It begins with the logarithm of a first rate."""

    def __init__(self, settings: EstimatorSettings, rate: float, now_s: float) -> None:
        self._settings = settings
        self._state = np.array([rate, 0.0, 0.0, 0.0])
        start = settings.startup_s**2 / settings.scale
        self._covariance = np.diag([settings.slow + settings.fast, settings.slow, settings.fast, start])
        self._walked_s = now_s

    def at(self, now_s: float) -> tuple[float, float, float]:
        """The logarithm of the rate, its variance in multiples of the scale, and the seconds of a start, by then."""
        state, covariance = self._ahead(now_s)
        return float(state[:_START].sum()), float(covariance[:_START, :_START].sum()), float(state[_START])

    def walk(self, now_s: float) -> None:
        """Lets time pass until now."""
        self._state, self._covariance = self._ahead(now_s)
        self._walked_s = max(self._walked_s, now_s)

    def expected(self, seen: Seen) -> tuple[float, float]:
        """What should be observed, and the variance that the state itself gives it."""
        expected, slope = self._slope(seen)
        return expected, float(slope @ self._covariance @ slope)

    def update(self, seen: Seen, noise: float) -> None:
        """Believes an observation of this variance."""
        expected, slope = self._slope(seen)
        moved = self._covariance @ slope
        gain = moved / (float(slope @ moved) + noise)
        self._state = self._state + gain * (seen.log_bit_s - expected)
        self._state[_START] = max(0.0, float(self._state[_START]))
        self._covariance = self._covariance - np.outer(gain, moved)

    def forget(self, variance: float) -> None:
        """Whatever the link was before says nothing any more."""
        self._covariance[_LEVEL, _LEVEL] += variance

    def doubt(self) -> None:
        """The moment may be another one."""
        self._covariance[_FAST, _FAST] += self._settings.fast

    def _ahead(self, now_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The state and its covariance, walked from the last evidence to now."""
        settings, passed_s = self._settings, max(0.0, now_s - self._walked_s)
        slow, fast = math.exp(-passed_s / settings.slow_s), math.exp(-passed_s / settings.fast_s)
        fade = np.array([1.0, slow, fast, 1.0])
        covariance = self._covariance * np.outer(fade, fade)
        covariance[_LEVEL, _LEVEL] += settings.level_per_s * passed_s
        covariance[_SLOW, _SLOW] += settings.slow * (1 - slow**2)
        covariance[_FAST, _FAST] += settings.fast * (1 - fast**2)
        return self._state * fade, covariance

    def _slope(self, seen: Seen) -> tuple[float, NDArray[np.float64]]:
        """What is expected to be observed, and its slope in each part of the state."""
        bit_s, start = math.exp(-float(self._state[:_START].sum())), seen.idle / seen.bits
        total_s = bit_s + start * float(self._state[_START])
        share = -bit_s / total_s
        return math.log(total_s), np.array([share, share, share, start / total_s])
