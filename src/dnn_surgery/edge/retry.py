"""When single frames try the cloud again after a failure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Retry:
    """When to try the cloud again: `first_s` after a failure, doubling up to `longest_s`."""

    first_s: float = 0.5
    longest_s: float = 8.0
    _wait_s: float = field(default=0.0, init=False)
    _at_s: float = field(default=0.0, init=False)

    def may_try(self, now_s: float) -> bool:
        """Whether the cloud is worth a try."""
        return self._wait_s == 0.0 or now_s >= self._at_s

    def failed(self, now_s: float, hint_s: float | None = None) -> None:
        """Puts the next try off; failures of requests that were under way together count once.

        A busy server's hint (`hint_s`) stands in for our own guess: half as much again at most, so that not all devices
        come back together.
        """
        if not self.may_try(now_s):
            return
        self._wait_s = min(max(self.first_s, 2 * self._wait_s), self.longest_s)
        if hint_s is not None:
            self._wait_s = hint_s * random.uniform(1.0, 1.5)
        self._at_s = now_s + self._wait_s

    def worked(self) -> None:
        """Back to normal."""
        self._wait_s = 0.0
