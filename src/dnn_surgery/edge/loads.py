"""By what factor each side is slower now than its profile says, learnt from frames: times are given.

The median of the latest ratios, so that one slow frame does not move it. What is not seen for a while fades towards 1
 (its logarithm by half every `half_life_s`): a side that was found busy and is not asked since is tried again.
"""

from __future__ import annotations

import math
import statistics
import threading
from collections import deque
from dataclasses import dataclass, field

from dnn_surgery.edge.controller import Loads

# Shorter predictions say more about the clock and the scheduler than about the load.
LEAST_PREDICTED_S = 5e-4

_COUNT, _ENOUGH = 9, 3
_LEAST, _MOST = 0.1, 1000.0


@dataclass
class _Ratio:
    """The factor of one side."""

    half_life_s: float
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=_COUNT))
    _seen_s: float = 0.0

    def add(self, predicted_s: float, seconds: float, now_s: float) -> None:
        if predicted_s >= LEAST_PREDICTED_S:
            self._latest.append(min(max(seconds / predicted_s, _LEAST), _MOST))
            self._seen_s = now_s

    def now(self, now_s: float) -> float:
        if len(self._latest) < _ENOUGH:
            return 1.0
        fade = 0.5 ** (max(0.0, now_s - self._seen_s) / self.half_life_s)
        return math.exp(fade * math.log(statistics.median(self._latest)))


class LoadMeter:
    """The factors of edge and cloud. Thread-safe."""

    def __init__(self, *, half_life_s: float = 30.0) -> None:
        self._lock = threading.Lock()
        self._edge, self._cloud = _Ratio(half_life_s), _Ratio(half_life_s)

    def edge_took(self, predicted_s: float, seconds: float, now_s: float) -> None:
        """The edge's share of a frame took so long; `predicted_s` is its profile's word, at load 1."""
        with self._lock:
            self._edge.add(predicted_s, seconds, now_s)

    def cloud_took(self, predicted_s: float, seconds: float, now_s: float) -> None:
        """The same of the cloud: its computing, and waiting behind others' frames."""
        with self._lock:
            self._cloud.add(predicted_s, seconds, now_s)

    def now(self, now_s: float) -> Loads:
        """Both factors."""
        with self._lock:
            return Loads(self._edge.now(now_s), self._cloud.now(now_s))
