"""Whether the cloud can be used just now: pure bookkeeping, times are given.

    up --a frame fails--> lost --pings with backoff, one is answered--> up, on trial --a frame is answered--> up

A ping says that a server is there, not that it answers frames (in time). So when frames failed though the server was
there, each time the wait before the next trial doubles; a server that was away is used as soon as it is back.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from dnn_surgery.errors import BusyError, SurgeryError, UnreachableError


@dataclass
class Health:
    """Seconds: the first ping follows a loss after `first_ping_s`, the wait for the next one grows to `longest_ping_s`;
    trials of a server that is there but fails are `first_trial_s` apart at first and `longest_trial_s` at last.
    """

    first_ping_s: float = 0.1
    longest_ping_s: float = 0.5
    first_trial_s: float = 0.5
    longest_trial_s: float = 8.0
    rng: random.Random = field(default_factory=random.Random)
    reason: str = ""
    lost: bool = False
    _since_s: float = -math.inf
    _next_ping_s: float = -math.inf
    _ping_wait_s: float = 0.0
    _trial_wait_s: float = 0.0

    def failed(self, error: SurgeryError, now_s: float) -> bool:
        """A frame or a ping failed; whether that lost the cloud (frames that fail together lose it once)."""
        if self.lost:
            return False
        self.lost, self.reason, self._since_s = True, str(error), now_s
        self._ping_wait_s = self.first_ping_s
        if isinstance(error, UnreachableError):
            self._trial_wait_s = 0.0
            self._next_ping_s = now_s + self.first_ping_s
        else:
            self._trial_wait_s = min(max(self.first_trial_s, 2 * self._trial_wait_s), self.longest_trial_s)
            self._next_ping_s = now_s + self._trial_wait_s
        if isinstance(error, BusyError):
            # It knows best; a little later each, so that not all devices come back together.
            self._next_ping_s = now_s + error.retry_after_s * self.rng.uniform(1.0, 1.5)
        return True

    def worked(self) -> None:
        """A frame was answered."""
        self._trial_wait_s = 0.0

    def until_ping_s(self, now_s: float) -> float:
        """Seconds until a ping is due; infinite while the cloud is not lost."""
        return max(0.0, self._next_ping_s - now_s) if self.lost else math.inf

    def pinged(self, answered: bool, now_s: float) -> bool:
        """What a ping saw; whether the cloud is back."""
        if not self.lost:
            return False
        if answered:
            self.lost = False
            return True
        self._ping_wait_s = min(1.5 * self._ping_wait_s, self.longest_ping_s)
        self._next_ping_s = now_s + self._ping_wait_s
        return False

    def away_s(self, now_s: float) -> float:
        """Seconds since the cloud was lost."""
        return now_s - self._since_s
