"""What a run did, added up frame by frame in constant memory."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dnn_surgery import codecs
from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.result import FrameResult

# What a picture would have taken is measured on some frames only: encoding each would cost the device too much.
JPEG = "jpeg95"
_EVERY = 100

_RESERVOIR = 4096


class Receipt:
    """Counts of one run.

    `skipped` frames were dropped before they were taken in; of those taken in, `frames` have their answer: by the
    cloud, by the edge as planned, finished by the edge because the cloud could not (`local_finishes`), or failed.
    """

    def __init__(self) -> None:
        self.frames = self.by_cloud = self.local_finishes = self.failed = self.late = 0
        self.answered_bytes = 0
        self.cuts: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.first_failure: str | None = None
        self._latencies_s: list[float] = []
        self._random = random.Random(0)
        self._jpeg_bytes: list[int] = []
        self._first_s = self._last_s = 0.0

    def add(self, result: FrameResult) -> None:
        """A frame has its answer."""
        self.frames += 1
        self.by_cloud += result.finished_by == "cloud"
        self.failed += result.finished_by == "nobody"
        self.local_finishes += result.finished_by == "edge" and result.failure is not None
        self.late += result.late
        self.answered_bytes += result.sent_bytes
        self.cuts[result.cut] += 1
        if result.source:
            self.sources[result.source] += 1
        self.first_failure = self.first_failure or result.failure
        self._first_s = min(self._first_s or result.times.taken_s, result.times.taken_s)
        self._last_s = max(self._last_s, result.times.answered_s)
        if len(self._latencies_s) < _RESERVOIR:
            self._latencies_s.append(result.latency_s)
        elif (place := self._random.randrange(self.frames)) < _RESERVOIR:
            self._latencies_s[place] = result.latency_s

    def sample_picture(self, index: int, frame: NamedInputs, picture: str) -> None:
        """Of some frames, measures how large their picture would be as a JPEG."""
        if index & (index - 1) == 0 or index % _EVERY == 0:
            self._jpeg_bytes.append(len(codecs.encode(JPEG, frame.tensors[picture])))

    @property
    def rate_hz(self) -> float:
        """Frames a second, from the first one taken in to the last answer."""
        seconds = self._last_s - self._first_s
        return self.frames / seconds if seconds > 0 else 0.0

    def latency_s(self, share: float) -> float:
        """The latency that this share of the frames did not exceed; 0 without frames."""
        ordered = sorted(self._latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def jpeg_bytes(self) -> float | None:
        """What JPEGs of all frames would have taken, from the sampled ones; None where frames are no pictures."""
        return statistics.fmean(self._jpeg_bytes) * self.frames if self._jpeg_bytes else None

    def record(
        self,
        *,
        sent_bytes: int | None = None,
        budget_left_bytes: float | None = None,
        skipped: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """The receipt for machines. `sent_bytes` is all that went up, with probes and what got no answer."""
        return {
            "event": "receipt",
            "frames": self.frames,
            "by_cloud": self.by_cloud,
            "by_edge": self.frames - self.by_cloud - self.failed,
            "local_finishes": self.local_finishes,
            "failed": self.failed,
            "late": self.late,
            "frames_per_s": self.rate_hz,
            "latency_p50_s": self.latency_s(0.5),
            "latency_p95_s": self.latency_s(0.95),
            "sent_bytes": self.answered_bytes if sent_bytes is None else sent_bytes,
            "jpeg_bytes": None if self.jpeg_bytes is None else round(self.jpeg_bytes),
            "cuts": dict(self.cuts),
            "sources": dict(self.sources),
            "skipped": dict(skipped or {}),
            "budget_left_bytes": None if budget_left_bytes is None else max(0.0, budget_left_bytes),
            "first_failure": self.first_failure,
        }
