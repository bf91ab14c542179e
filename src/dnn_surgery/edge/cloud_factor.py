"""What a device believes of the server's load: from the reports in replies, from refusals and from silence.

Only who is served gets a report, and those are served who met a short queue: a device that listened to reports alone
would take a server that turns most of its frames away for a quick one. So a refusal counts too (its hint is half of what
waits there), and so does a frame without an answer in time. After such failures the device stays away, twice as long
each time and a random part longer, so that those who were refused together do not come back together. What is believed
fades towards 1 while nothing is heard. Pure: times are given. What each part is worth to a fleet: `evaluation.fleet`.
"""

from __future__ import annotations

import math
import random

_FIRST_AWAY_S, _LONGEST_AWAY_S = 0.5, 32.0
_MOST = 1000.0


class CloudFactor:
    """By what factor the cloud is slower than its profile, for this device.

    Args:
        half_life_s: in so many seconds without word the factor's logarithm halves.
        rng: where the random part of staying away comes from.
        failures_count: whether refusals and silence say something of the load, and lengthen the absence.
    """

    def __init__(
        self, rng: random.Random, *, half_life_s: float = 30.0, failures_count: bool = True
    ) -> None:
        self._rng, self._half_life_s, self._failures_count = rng, half_life_s, failures_count
        self._log = self._heard_s = 0.0
        self._failures = 0
        self._away_until_s = -math.inf

    def now(self, now_s: float) -> float:
        """The factor."""
        return math.exp(self._log * 0.5 ** (max(0.0, now_s - self._heard_s) / self._half_life_s))

    def may_try(self, now_s: float) -> bool:
        """Whether the device should send again."""
        return now_s >= self._away_until_s

    def reported(self, load: float, now_s: float) -> None:
        """A reply came, and said how loaded the server is: waiting and slow-down together."""
        self._failures = 0
        self._hear(load, now_s)

    def refused(self, hint_s: float, cloud_s: float, now_s: float) -> None:
        """The server was full; it takes `cloud_s` for such a frame by its profile."""
        away_s = hint_s
        if self._failures_count:
            away_s = max(hint_s, self._fail(1.0 + 2.0 * hint_s / cloud_s, now_s))
        self._away_until_s = now_s + away_s * self._rng.uniform(1.0, 1.5)

    def silent(self, seconds: float, cloud_s: float, now_s: float) -> None:
        """Nothing came in `seconds` after the frame's last byte had left (0 or less: the link was too slow)."""
        if self._failures_count and seconds > 0:
            away_s = self._fail(seconds / cloud_s, now_s)
            self._away_until_s = now_s + away_s * self._rng.uniform(1.0, 1.5)

    def _fail(self, at_least: float, now_s: float) -> float:
        """Notes a failure; returns for how long to stay away."""
        self._hear(max(self.now(now_s), at_least), now_s)
        away_s = min(_FIRST_AWAY_S * 2.0**self._failures, _LONGEST_AWAY_S)
        self._failures = min(self._failures + 1, 10)
        return away_s

    def _hear(self, factor: float, now_s: float) -> None:
        self._log, self._heard_s = math.log(min(max(factor, 1e-3), _MOST)), now_s
