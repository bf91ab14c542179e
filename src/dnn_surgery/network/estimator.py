"""How fast the link is now, learnt from what every reply took: no clock, no sockets, times are given.

An upload of s bytes whose sender had been idle for i seconds, with its tiny reply, takes

    t = rtt + w(i) start + 8 s / B,    w(i) = min(1, i / 1 s)

where `start` is what a connection that fell idle needs to reach its speed again. Transfers of one size cannot tell the
three apart, so the round trip comes from pings (calls without a payload) between frames, and the other two from an
extended Kalman filter. Its state is ln B = level + slow + fast, and start. The level hardly moves; slow and fast return
to 0 within about a minute and two seconds (Ornstein-Uhlenbeck), as the rates of mobile links do: a bad second is
believed for seconds only, and what is not observed widens to what this link was seen to do. It observes

    ln((t - rtt) / 8 s) = ln(1 / B + w start / 8 s) + noise.

All variances are multiples of one scale, learnt from the innovations: a steady link soon has a narrow interval. One
value far outside of it is set aside; a second one on the same side is a step of the link: the level is forgotten, both
are believed. How this was tuned: ``docs/control.md``.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import InputError

Z90 = 1.6449
"""90 % of a normal distribution lie within so many standard deviations of its middle."""

_IDLE_FULL_S = 1.0
_LEAST_S = 1e-5
_AT_LEAST = 1.5  # what did not end within a time is taken to need half as much again
_PROBE_S, _LEAST_PROBE_BYTES, _MOST_PROBE_BYTES = 0.5, 3_000, 30_000
_BLUR = 0.02  # of a call's seconds: how well two calls of one kind repeat at best
_LATE, _LATE_S = 1.25, 0.01  # a ping is late after so many round trips and seconds
_LEVEL, _SLOW, _FAST, _START = range(4)


@dataclass(frozen=True)
class LinkBelief:
    """What is believed of the link: bits per second up (the middle), seconds of a round trip.

    `low_bps` and `high_bps` are meant to hold the rate of the next transfer with 90 %; `age_s` seconds have passed
    since the last evidence. `startup_s` is what a transfer takes longer after the idle time that transfers lately had.
    For `stalled_s` the answer to a ping has been late.
    """

    bandwidth_bps: float
    rtt_s: float
    low_bps: float
    high_bps: float
    age_s: float
    startup_s: float = 0.0
    stalled_s: float = 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the logarithm of the rate, as the interval says."""
        return math.log(self.high_bps / self.low_bps) / (2 * Z90)

    @property
    def confidence(self) -> float:
        """1: the rate is known exactly; 0.5: its interval goes from half to twice the middle; 0: it may be anything."""
        return math.sqrt(self.low_bps / self.high_bps)


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


class _Seen(NamedTuple):
    """A transfer as the filter takes it: ln of seconds a bit, bits, the share of a full start that it paid.

    `blur` is the variance that the round trip's own jitter adds, which is large for a transfer much shorter than it.
    """

    log_bit_s: float
    bits: float
    idle: float
    blur: float = 0.0


class LinkEstimator:
    """Learns from transfers, pings and failures. Seconds on any monotonic clock, in order of time."""

    def __init__(self, settings: EstimatorSettings | None = None) -> None:
        self._settings = settings or EstimatorSettings()
        self._state: NDArray[np.float64] | None = None
        self._covariance = np.zeros((4, 4))
        self._scale, self._weight = self._settings.scale, self._settings.scale_weight
        self._pings: deque[float] = deque(maxlen=self._settings.pings)
        self._pinged_s = self._evidence_s = self._walked_s = -math.inf
        self._suspect: tuple[_Seen, bool] | None = None
        self._idle = 0.0

    @property
    def rtt_s(self) -> float:
        """The median of the latest pings; 0 while there are none."""
        return statistics.median(self._pings) if self._pings else 0.0

    @property
    def is_puzzled(self) -> bool:
        """Whether the last transfer was out of line: another one right away would tell a step from a stray value."""
        return self._suspect is not None

    def ping(self, seconds: float, now_s: float) -> None:
        """A call without a payload took so long."""
        if not 0 <= seconds < math.inf:
            raise InputError(f"a ping cannot take {seconds} s")
        self._pings.append(seconds)
        self._pinged_s = now_s

    def wants_ping(self, now_s: float) -> bool:
        """Whether a ping between two frames would help to tell the round trip from the rate."""
        return now_s - self._pinged_s >= (self._settings.ping_every_s if len(self._pings) >= 3 else 0.5)

    def probe_bytes(self, now_s: float) -> int:
        """How much to upload as a probe: twenty packets, or what is believed to take half a second if that is less."""
        belief = self.belief(now_s)
        if belief is None:
            return _MOST_PROBE_BYTES
        return round(min(max(_PROBE_S * belief.bandwidth_bps / 8, _LEAST_PROBE_BYTES), _MOST_PROBE_BYTES))

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float = 0.0) -> None:
        """One upload and its tiny reply took `seconds`, the server's queue and compute seconds already taken out.

        `idle_s`: how long the connection had sent nothing before.
        """
        if not (size_bytes >= 0 and 0 <= seconds < math.inf):
            raise InputError(f"a transfer cannot be of {size_bytes} bytes and take {seconds} s")
        if size_bytes <= self._settings.tiny_bytes:
            self.ping(seconds, now_s)
            return
        idle = min(1.0, max(0.0, idle_s) / _IDLE_FULL_S)
        self._idle += 0.3 * (idle - self._idle)
        # A round trip measured too long must not make a transfer look endlessly fast.
        blur_s = max(_BLUR * seconds, _LEAST_S)
        spent_s = max(seconds - self.rtt_s, blur_s)
        log_bit_s = math.log(spent_s / (8 * size_bytes))
        self._learn(_Seen(log_bit_s, 8.0 * size_bytes, idle, (blur_s / spent_s) ** 2), now_s)

    def failed(self, now_s: float, *, size_bytes: float = 0.0, seconds: float = 0.0) -> None:
        """A call got no reply; where size and time are given, an upload of that size within these seconds.

        The upload would have taken longer, so it is evidence only where the link was thought to be faster. What kind of
        failure it was is not known, so the belief becomes wider in any case.
        """
        if size_bytes > self._settings.tiny_bytes and seconds > 0:
            seen = _Seen(math.log(_AT_LEAST * seconds / (8 * size_bytes)), 8.0 * size_bytes, 0.0)
            if self._state is None or seen.log_bit_s > self._expected(seen)[0]:
                self._learn(seen, now_s)
        if self._state is None:
            return
        self._walk(now_s)
        self._covariance[_FAST, _FAST] += self._settings.fast

    def belief(
        self, now_s: float, *, under_way: tuple[float, float] | None = None, pinging_s: float = 0.0
    ) -> LinkBelief | None:
        """What is believed now; None before the first transfer.

        `under_way`: bytes of an upload that has had no reply yet, and the seconds it has taken. That it is not done
        bounds the rate from above, long before it ends. `pinging_s`: a ping has been without an answer for so long.
        """
        if self._state is None:
            return None
        state, covariance = self._ahead(now_s)
        rate = float(state[:_START].sum())
        variance = self._scale * (float(covariance[:_START, :_START].sum()) + self._settings.noise)
        age_s = max(0.0, now_s - self._evidence_s)
        variance += self._settings.step * min(1.0, age_s / self._settings.steps_apart_s)
        half = Z90 * math.sqrt(variance if self._suspect is None else 4 * variance)
        startup_s = self._idle * float(state[_START])
        if under_way is not None and (spent_s := under_way[1] - self.rtt_s - startup_s) > 0:
            rate = min(rate, math.log(8 * under_way[0] / spent_s))
        return LinkBelief(
            bandwidth_bps=math.exp(rate),
            rtt_s=self.rtt_s,
            low_bps=math.exp(rate - half),
            high_bps=math.exp(rate + half),
            age_s=age_s,
            startup_s=startup_s,
            stalled_s=max(0.0, pinging_s - _LATE * self.rtt_s - _LATE_S),
        )

    def _learn(self, seen: _Seen, now_s: float) -> None:
        settings = self._settings
        if self._state is None:
            self._begin(-seen.log_bit_s, now_s)
        self._walk(now_s)
        expected, slope = self._expected(seen)
        innovation = seen.log_bit_s - expected
        unit = float(slope @ self._covariance @ slope) + settings.noise + seen.blur / self._scale
        slower = innovation > 0
        if innovation**2 <= settings.gate**2 * self._scale * unit:
            self._suspect, self._evidence_s = None, now_s
            self._weight = min(self._weight + 1, settings.scale_memory)
            self._scale += (innovation**2 / unit - self._scale) / self._weight
            self._scale = max(self._scale, settings.least_scale)
            self._update(seen)
        elif self._suspect is not None and self._suspect[1] == slower:
            first, self._suspect, self._evidence_s = self._suspect[0], None, now_s
            # Whatever the link was before says nothing any more.
            self._covariance[_LEVEL, _LEVEL] += innovation**2 / self._scale
            self._update(first)
            self._update(seen)
        else:
            self._suspect = (seen, slower)

    def _begin(self, rate: float, now_s: float) -> None:
        settings = self._settings
        self._state = np.array([rate, 0.0, 0.0, 0.0])
        start = settings.startup_s**2 / settings.scale
        self._covariance = np.diag([settings.slow + settings.fast, settings.slow, settings.fast, start])
        self._walked_s = now_s

    def _walk(self, now_s: float) -> None:
        self._state, self._covariance = self._ahead(now_s)
        self._walked_s = max(self._walked_s, now_s)

    def _ahead(self, now_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The state and its covariance, walked from the last evidence to now."""
        assert self._state is not None  # noqa: S101 - callers have looked
        settings, passed_s = self._settings, max(0.0, now_s - self._walked_s)
        slow, fast = math.exp(-passed_s / settings.slow_s), math.exp(-passed_s / settings.fast_s)
        fade = np.array([1.0, slow, fast, 1.0])
        covariance = self._covariance * np.outer(fade, fade)
        covariance[_LEVEL, _LEVEL] += settings.level_per_s * passed_s
        covariance[_SLOW, _SLOW] += settings.slow * (1 - slow**2)
        covariance[_FAST, _FAST] += settings.fast * (1 - fast**2)
        return self._state * fade, covariance

    def _expected(self, seen: _Seen) -> tuple[float, NDArray[np.float64]]:
        """What the filter expects to observe, and its slope in each part of the state."""
        assert self._state is not None  # noqa: S101 - callers have looked
        bit_s, start = math.exp(-float(self._state[:_START].sum())), seen.idle / seen.bits
        total_s = bit_s + start * float(self._state[_START])
        share = -bit_s / total_s
        return math.log(total_s), np.array([share, share, share, start / total_s])

    def _update(self, seen: _Seen) -> None:
        assert self._state is not None  # noqa: S101 - callers have looked
        expected, slope = self._expected(seen)
        moved = self._covariance @ slope
        gain = moved / (float(slope @ moved) + self._settings.noise + seen.blur / self._scale)
        self._state = self._state + gain * (seen.log_bit_s - expected)
        self._state[_START] = max(0.0, float(self._state[_START]))
        self._covariance = self._covariance - np.outer(gain, moved)
