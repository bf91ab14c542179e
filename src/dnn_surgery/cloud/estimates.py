"""What tails cost just now, learnt from what they took: for deadlines, fair shares, and the load report."""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

# Of each tail so many runs count, none older than this: one slow minute must not refuse requests for ever.
_RUNS, _MAX_AGE_S = 9, 15.0

# The tails kept; least recently used out.
_MAX_KEYS = 512

# The slow-down is a median over so many requests, of whatever tails.
_RATIOS = 33


class Estimates:
    """Seconds of each tail, and by how much the server is slower than its profile. Not thread-safe.

    Args:
        predict: seconds of a tail by the profile; None where there is none.
    """

    def __init__(self, predict: Callable[[Hashable], float | None] = lambda _: None) -> None:
        self._predict = predict
        self._runs: OrderedDict[Hashable, deque[tuple[float, float]]] = OrderedDict()
        self._predicted: dict[Hashable, float | None] = {}
        self._ratios: deque[float] = deque(maxlen=_RATIOS)

    def record(self, key: Hashable, compute_s: float, now_s: float) -> None:
        """Notes that a run of a tail took `compute_s`."""
        runs = self._runs.setdefault(key, deque(maxlen=_RUNS))
        self._runs.move_to_end(key)
        runs.append((now_s, compute_s))
        while len(self._runs) > _MAX_KEYS:
            gone, _ = self._runs.popitem(last=False)
            self._predicted.pop(gone, None)
        if key not in self._predicted:
            self._predicted[key] = self._predict(key)
        if predicted_s := self._predicted[key]:
            self._ratios.append(compute_s / predicted_s)

    def expected_s(self, key: Hashable, now_s: float) -> float:
        """The median of the recent runs (of few the least: the first ones are slow); 0 where nothing is known."""
        recent = [seconds for at_s, seconds in self._runs.get(key, ()) if now_s - at_s <= _MAX_AGE_S]
        if not recent:
            return 0.0
        return min(recent) if len(recent) < 3 else statistics.median(recent)

    @property
    def slowdown(self) -> float:
        """The median over the recent runs of measured over predicted seconds; 1 without a profile."""
        return statistics.median(self._ratios) if self._ratios else 1.0

    def forget_predictions(self) -> None:
        """To be called when the profile is another."""
        self._predicted.clear()
        self._ratios.clear()
