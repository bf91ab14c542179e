"""How fast the link is now, learnt from what every reply took: no clock, no sockets, times are given.

An upload of s bytes whose sender had been idle for i seconds, with its tiny reply, takes

    t = rtt + w(i) start + 8 s / B,    w(i) = min(1, i / 1 s)

where `start` is what a connection that fell idle needs to reach its speed again. Transfers of one size cannot tell the
three apart, so the round trip comes from pings (calls without a payload) made between frames, and the other two from an
extended Kalman filter of the state (x = ln B, start) that observes

    ln((t - rtt) / 8 s) = ln(exp(-x) + w start / 8 s) + noise.

x walks randomly, so its variance grows with the seconds since the last evidence. One value out of line is set aside; a
second one on the same side is a step of the link, and both are then taken with an open mind (a large variance).
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

from dnn_surgery.errors import InputError

_Z90 = 1.6449  # 90 % of a normal distribution lie within so many standard deviations
_IDLE_FULL_S = 1.0
_LEAST_S = 1e-5


@dataclass(frozen=True)
class LinkBelief:
    """What is believed of the link: bits per second up (the middle), seconds of a round trip.

    `low_bps` and `high_bps` are meant to hold the rate of the next transfer with 90 %; `age_s` seconds have passed
    since the last evidence. `startup_s` is what a transfer takes longer after the idle time that transfers lately had.
    """

    bandwidth_bps: float
    rtt_s: float
    low_bps: float
    high_bps: float
    age_s: float
    startup_s: float = 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the logarithm of the rate, as the interval says."""
        return math.log(self.high_bps / self.low_bps) / (2 * _Z90)

    @property
    def confidence(self) -> float:
        """1: the rate is known exactly; 0.5: its interval goes from half to twice the middle; 0: it may be anything."""
        return math.sqrt(self.low_bps / self.high_bps)


@dataclass(frozen=True)
class EstimatorSettings:
    """How the filter is tuned; standard deviations are of ln B.

    `walk` is how far the rate wanders in a second. `noise` is how much transfers scatter at first; later it is what
    they were seen to scatter, never below `least_noise`. `gate` is how many deviations make a value suspect.
    `widest` bounds what not knowing can become. A ping is wanted every `ping_every_s`.
    """

    walk: float = 0.25
    noise: float = 0.3
    least_noise: float = 0.05
    gate: float = 3.0
    step: float = 1.5
    widest: float = 1.5
    forget: float = 0.1
    startup: float = 0.02
    pings: int = 7
    ping_every_s: float = 5.0
    tiny_bytes: int = 512


class LinkEstimator:
    """Learns from transfers, pings and failures. Seconds on any monotonic clock, in order of time."""

    def __init__(self, settings: EstimatorSettings | None = None) -> None:
        self._settings = settings or EstimatorSettings()
        self._rate = 0.0
        self._startup_s = 0.0
        self._known = False
        self._variance = [0.0, 0.0, 0.0]  # of x, of both, of start
        self._noise2 = self._settings.noise**2
        self._pings: deque[float] = deque(maxlen=self._settings.pings)
        self._pinged_s = -math.inf
        self._evidence_s = -math.inf
        self._walked_s = -math.inf
        self._suspect: tuple[float, float, float] | None = None
        self._suspect_side = 0
        self._idle = 0.0

    @property
    def rtt_s(self) -> float:
        """The median of the latest pings; 0 while there are none."""
        return statistics.median(self._pings) if self._pings else 0.0

    def ping(self, seconds: float, now_s: float) -> None:
        """A call without a payload took so long."""
        if not 0 <= seconds < math.inf:
            raise InputError(f"a ping cannot take {seconds} s")
        self._pings.append(seconds)
        self._pinged_s = now_s

    def wants_ping(self, now_s: float) -> bool:
        """Whether a ping between two frames would help to tell the round trip from the rate."""
        return now_s - self._pinged_s >= (self._settings.ping_every_s if len(self._pings) >= 3 else 0.5)

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float = 0.0) -> None:
        """One upload and its tiny reply took `seconds`, the server's queue and compute seconds already taken out.

        `idle_s`: how long the connection had sent nothing before.
        """
        if not (size_bytes >= 0 and 0 <= seconds < math.inf):
            raise InputError(f"a transfer cannot be of {size_bytes} bytes and take {seconds} s")
        if size_bytes <= self._settings.tiny_bytes:
            self.ping(seconds, now_s)
            return
        self._walk(now_s)
        self._evidence_s = now_s
        idle = min(1.0, max(0.0, idle_s) / _IDLE_FULL_S)
        self._idle += 0.3 * (idle - self._idle)
        spent_s = max(seconds - self.rtt_s, 0.05 * seconds, _LEAST_S)
        seen = (math.log(spent_s / (8 * size_bytes)), 8.0 * size_bytes, idle)
        if not self._known:
            self._begin(-seen[0])
            return
        innovation, deviation = self._innovation(seen)
        if abs(innovation) <= self._settings.gate * deviation:
            self._suspect = None
            self._update(seen)
            return
        side = 1 if innovation > 0 else -1
        if self._suspect is not None and side == self._suspect_side:
            first, self._suspect = self._suspect, None
            self._variance[0] += self._settings.step**2
            self._update(first, learn=False)
            self._update(seen, learn=False)
            return
        self._suspect, self._suspect_side = seen, side

    def failed(self, now_s: float, *, size_bytes: float = 0.0, seconds: float = 0.0) -> None:
        """A call got no reply; where size and time are given, an upload of that size within these seconds."""
        self._walk(now_s)
        if not self._known:
            return
        if size_bytes > 0 and seconds > 0:
            at_most = math.log(8 * size_bytes / seconds)
            self._rate = min(self._rate, at_most)
        self._variance[0] = min(self._variance[0] + 0.5, self._settings.widest**2)

    def belief(self, now_s: float) -> LinkBelief | None:
        """What is believed now; None before the first transfer."""
        if not self._known:
            return None
        age_s = max(0.0, now_s - self._evidence_s)
        walked = self._settings.walk**2 * max(0.0, now_s - self._walked_s)
        suspect = self._noise2 if self._suspect is not None else 0.0
        variance = min(self._variance[0] + walked + self._noise2 + suspect, self._settings.widest**2)
        half = _Z90 * math.sqrt(variance)
        return LinkBelief(
            bandwidth_bps=math.exp(self._rate),
            rtt_s=self.rtt_s,
            low_bps=math.exp(self._rate - half),
            high_bps=math.exp(self._rate + half),
            age_s=age_s,
            startup_s=self._idle * self._startup_s,
        )

    def _begin(self, rate: float) -> None:
        self._rate, self._known = rate, True
        self._variance = [self._settings.noise**2, 0.0, self._settings.startup**2]

    def _walk(self, now_s: float) -> None:
        if self._known:
            grown = self._variance[0] + self._settings.walk**2 * max(0.0, now_s - self._walked_s)
            self._variance[0] = min(grown, self._settings.widest**2)
        self._walked_s = max(self._walked_s, now_s)

    def _expected(self, seen: tuple[float, float, float]) -> tuple[float, float, float]:
        """What the filter expects to observe, and its slopes in x and in start."""
        _, bits, idle = seen
        rate_part, start_part = math.exp(-self._rate), idle * self._startup_s / bits
        total = rate_part + start_part
        return math.log(total), -rate_part / total, idle / bits / total

    def _innovation(self, seen: tuple[float, float, float]) -> tuple[float, float]:
        expected, dx, ds = self._expected(seen)
        xx, xs, ss = self._variance
        return seen[0] - expected, math.sqrt(dx * dx * xx + 2 * dx * ds * xs + ds * ds * ss + self._noise2)

    def _update(self, seen: tuple[float, float, float], *, learn: bool = True) -> None:
        expected, dx, ds = self._expected(seen)
        innovation = seen[0] - expected
        xx, xs, ss = self._variance
        gain_x, gain_s = xx * dx + xs * ds, xs * dx + ss * ds
        total = dx * gain_x + ds * gain_s + self._noise2
        self._rate += gain_x / total * innovation
        self._startup_s = max(0.0, self._startup_s + gain_s / total * innovation)
        self._variance = [xx - gain_x * gain_x / total, xs - gain_x * gain_s / total, ss - gain_s * gain_s / total]
        if learn:
            forget = self._settings.forget
            self._noise2 = max((1 - forget) * self._noise2 + forget * innovation**2, self._settings.least_noise**2)
