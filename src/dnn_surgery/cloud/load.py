"""How busy the server is, as one factor that devices multiply its computing time with."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class LoadMeter:
    """(waiting + computing) / computing over the recent requests: 1 when nothing waits.

    What a request adds fades by half every `half_life_s`. Sums are compared rather than ratios averaged, so that a
    tiny tail behind a large one does not look like a server that is a hundred times too slow. Thread-safe.
    """

    def __init__(self, *, half_life_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._half_life_s = half_life_s
        self._clock = clock
        self._lock = threading.Lock()
        self._queue_s = 0.0
        self._compute_s = 0.0
        self._updated_s = clock()

    def record(self, *, queue_s: float, compute_s: float) -> float:
        """Adds a finished request; returns the load with it."""
        with self._lock:
            now_s = self._clock()
            fade = 0.5 ** ((now_s - self._updated_s) / self._half_life_s)
            self._updated_s = now_s
            self._queue_s = self._queue_s * fade + queue_s
            self._compute_s = self._compute_s * fade + compute_s
            return 1.0 + self._queue_s / self._compute_s if self._compute_s > 0 else 1.0


class ClientCount:
    """How many clients asked for something in the last seconds. Not thread-safe."""

    def __init__(self, *, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._seen_s: OrderedDict[str, float] = OrderedDict()

    def note(self, name: str, now_s: float) -> int:
        """Notes a client; returns how many there are with it."""
        self._seen_s[name] = now_s
        self._seen_s.move_to_end(name)
        return self.count(now_s)

    def count(self, now_s: float) -> int:
        """How many there are."""
        while self._seen_s and now_s - next(iter(self._seen_s.values())) > self._window_s:
            self._seen_s.popitem(last=False)
        return len(self._seen_s)
