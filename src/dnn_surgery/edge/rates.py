"""How often each source may offer a frame: when the next one is due, and the rates that all sources together can have.

Pure: times are given, nobody waits here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

_WINDOW = 20  # pulls whose time tells the throughput
_MARGIN = 0.95  # of the throughput is given away, so that a queue that has formed goes down again
_WORTH_A_CHANGE = 0.1
_CALM_S = 5.0  # without a skipped frame, before rates are raised again


@dataclass(slots=True)
class Pace:
    """When a source's next frame is due. A source that is late takes the next turn at once, and catches up on none."""

    rate_hz: float | None
    _due_s: float = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Whether it is."""
        return now_s >= self._due_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until it is."""
        return max(0.0, self._due_s - now_s)

    def offered(self, now_s: float) -> None:
        """Notes that one was offered now: the next is due one interval after this one was due, or was offered if it
        was more than an interval late."""
        if self.rate_hz is None:
            return
        interval_s = 1 / self.rate_hz
        self._due_s = self._due_s + interval_s if now_s - self._due_s < interval_s else now_s + interval_s


def share_throughput(
    wanted_hz: Mapping[str, float], priorities: Mapping[str, int], throughput_hz: float
) -> dict[str, float]:
    """The largest rates that fit `throughput_hz` together, none above what is wanted.

    Each source gets the same share of its wanted rate, times its priority and one: with priorities 2 and 0 the first
    keeps three times the share of the other, up to all of it. Nobody is left with nothing.
    """
    rates: dict[str, float] = {}
    rest, left_hz = dict(wanted_hz), throughput_hz
    while rest:
        weights = {name: rate_hz * (1 + priorities[name]) for name, rate_hz in rest.items()}
        share = left_hz / sum(weights.values())
        full = {name: rate_hz for name, rate_hz in rest.items() if weights[name] * share >= rate_hz}
        if not full:
            return rates | {name: weights[name] * share for name in rest}
        rates |= full
        left_hz -= sum(full.values())
        rest = {name: rate_hz for name, rate_hz in rest.items() if name not in full}
    return rates


@dataclass
class Governor:
    """Decides the rates of all sources from how long the consumer takes for a frame.

    `wanted_hz` are the rates asked for, of the sources that have one. A frame that had to be skipped says that the
    rates are too high; then, and when the consumer has become faster, new ones come from the mean time that the last
    20 frames took it, from being handed one until it asked for the next.
    """

    wanted_hz: dict[str, float]
    priorities: Mapping[str, int]
    rates_hz: dict[str, float] = field(init=False)
    _busy_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW), init=False)
    _changed_s: float = field(default=-math.inf, init=False)
    _skips: int = field(default=0, init=False)
    _skipped_s: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        self.rates_hz = dict(self.wanted_hz)

    @property
    def throughput_hz(self) -> float | None:
        """Frames a second that the consumer has shown to manage; None before it has taken a few."""
        busy_s = sum(self._busy_s)
        return len(self._busy_s) / busy_s if len(self._busy_s) >= 3 and busy_s > 0 else None

    @property
    def has_skipped(self) -> bool:
        """Whether a frame had no room since rates were last set."""
        return self._skips > 0

    def pulled(self, busy_s: float) -> None:
        """Notes how long the consumer was busy with its last frame."""
        self._busy_s.append(busy_s)

    def skipped(self, now_s: float) -> None:
        """Notes that a frame had no room."""
        self._skips, self._skipped_s = self._skips + 1, now_s

    def decide(self, now_s: float) -> bool:
        """Sets new rates if it is time to; whether it did."""
        throughput_hz = self.throughput_hz
        if throughput_hz is None or not self.wanted_hz:
            return False
        fitting = share_throughput(self.wanted_hz, self.priorities, _MARGIN * throughput_hz)
        before_hz, after_hz = sum(self.rates_hz.values()), sum(fitting.values())
        lower = self._skips > 0 and after_hz < before_hz
        calm_s = now_s - max(self._skipped_s, self._changed_s)
        higher = calm_s >= _CALM_S and after_hz > before_hz * (1 + _WORTH_A_CHANGE)
        if not (lower or higher):
            return False
        self._skips, self._changed_s, self.rates_hz = 0, now_s, fitting
        return True
