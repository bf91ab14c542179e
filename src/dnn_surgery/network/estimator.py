"""How fast the link is now, learnt from what every reply took: no clock, no sockets, times are given.

An upload of s bytes whose sender had been idle for i seconds, with its tiny reply, takes

    t = rtt + w(i) start + 8 s / B,    w(i) = min(1, i / 1 s)

where `start` is what a connection that fell idle needs to reach its speed again. Transfers of one size cannot tell the
three apart, so the round trip comes from pings (calls without a payload) between frames, and the other two from an
extended Kalman filter (:mod:`dnn_surgery.network.link_filter`). It observes

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

from dnn_surgery.errors import InputError
from dnn_surgery.network.link_filter import EstimatorSettings, LinkFilter, Seen

Z90 = 1.6449
"""90 % of a normal distribution lie within so many standard deviations of its middle."""

_IDLE_FULL_S = 1.0
_LEAST_S = 1e-5
_AT_LEAST = 1.5  # what did not end within a time is taken to need half as much again
_PROBE_S, _LEAST_PROBE_BYTES, _MOST_PROBE_BYTES = 0.5, 3_000, 30_000
_BLUR = 0.02  # of a call's seconds: how well two calls of one kind repeat at best
_LATE, _LATE_S = 1.25, 0.01  # a ping is late after so many round trips and seconds


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


class LinkEstimator:
    """Learns from transfers, pings and failures. Seconds on any monotonic clock, in order of time."""

    def __init__(self, settings: EstimatorSettings | None = None) -> None:
        self._settings = settings or EstimatorSettings()
        self._filter: LinkFilter | None = None
        self._scale, self._weight = self._settings.scale, self._settings.scale_weight
        self._pings: deque[float] = deque(maxlen=self._settings.pings)
        self._pinged_s = self._evidence_s = self._walked_s = -math.inf
        self._suspect: tuple[Seen, bool] | None = None
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
        self._learn(Seen(log_bit_s, 8.0 * size_bytes, idle, (blur_s / spent_s) ** 2), now_s)

    def failed(self, now_s: float, *, size_bytes: float = 0.0, seconds: float = 0.0) -> None:
        """A call got no reply; where size and time are given, an upload of that size within these seconds.

        The upload would have taken longer, so it is evidence only where the link was thought to be faster. What kind of
        failure it was is not known, so the belief becomes wider in any case.
        """
        if size_bytes > self._settings.tiny_bytes and seconds > 0:
            seen = Seen(math.log(_AT_LEAST * seconds / (8 * size_bytes)), 8.0 * size_bytes, 0.0)
            if self._filter is None or seen.log_bit_s > self._filter.expected(seen)[0]:
                self._learn(seen, now_s)
        if self._filter is not None:
            self._filter.walk(now_s)
            self._filter.doubt()

    def belief(
        self, now_s: float, *, under_way: tuple[float, float] | None = None, pinging_s: float = 0.0
    ) -> LinkBelief | None:
        """What is believed now; None before the first transfer.

        `under_way`: bytes of an upload that has had no reply yet, and the seconds it has taken. That it is not done
        bounds the rate from above, long before it ends. `pinging_s`: a ping has been without an answer for so long.
        """
        if self._filter is None:
            return None
        rate, unit, start_s = self._filter.at(now_s)
        variance = self._scale * (unit + self._settings.noise)
        age_s = max(0.0, now_s - self._evidence_s)
        variance += self._settings.step * min(1.0, age_s / self._settings.steps_apart_s)
        half = Z90 * math.sqrt(variance if self._suspect is None else 4 * variance)
        startup_s = self._idle * start_s
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

    def _learn(self, seen: Seen, now_s: float) -> None:
        settings = self._settings
        if self._filter is None:
            self._filter = LinkFilter(settings, -seen.log_bit_s, now_s)
        self._filter.walk(now_s)
        expected, variance = self._filter.expected(seen)
        innovation, noise = seen.log_bit_s - expected, self._noise(seen)
        unit, slower = variance + noise, innovation > 0
        if innovation**2 <= settings.gate**2 * self._scale * unit:
            self._suspect, self._evidence_s = None, now_s
            self._weight = min(self._weight + 1, settings.scale_memory)
            self._scale += (innovation**2 / unit - self._scale) / self._weight
            self._scale = max(self._scale, settings.least_scale)
            self._filter.update(seen, self._noise(seen))
        elif self._suspect is not None and self._suspect[1] == slower:
            first, self._suspect, self._evidence_s = self._suspect[0], None, now_s
            self._filter.forget(innovation**2 / self._scale)
            self._filter.update(first, self._noise(first))
            self._filter.update(seen, noise)
        else:
            self._suspect = (seen, slower)

    def _noise(self, seen: Seen) -> float:
        """What one transfer scatters, in multiples of the scale."""
        return self._settings.noise + seen.blur / self._scale
