"""What the edge knows of the link and of the server at its end, as several threads learn it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from dnn_surgery.edge.events import Event, OnEvent, ignore
from dnn_surgery.edge.health import Health
from dnn_surgery.errors import DeadlineError, SurgeryError
from dnn_surgery.network.estimator import LinkBelief, LinkEstimator
from dnn_surgery.network.probe import Sample

Clock = Callable[[], float]


class LinkWatch:
    """An estimator and a health under one lock, with the events that come of them.

    Args:
        estimator: learns how fast the link is. health: whether the server can be used.
        probe: measures the link by itself instead of the frames: bytes up and seconds (a round trip included).
        on_event: told when the server is lost and when it is back.
        clock: monotonic seconds, the same as of the frames' times.
    """

    def __init__(
        self,
        *,
        estimator: LinkEstimator | None = None,
        health: Health | None = None,
        probe: Callable[[], Sample] | None = None,
        on_event: OnEvent = ignore,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._estimator, self._health = estimator or LinkEstimator(), health or Health()
        self._on_event, self.clock, self.probe = on_event, clock, probe
        self._lock = threading.Lock()
        self._under_way: tuple[int, float] | None = None
        self._probe_wanted = False
        self._ping_due_s, self._pinging_since_s = math.inf, math.inf
        self.probe_every_s = 1.0
        self.sent_bytes = 0

    @property
    def lost(self) -> str | None:
        """Why the server cannot be used now; None while it can."""
        with self._lock:
            return self._health.reason if self._health.lost else None

    @property
    def probe_wanted(self) -> bool:
        """Whether the link should be probed while no frame is on it; always, where frames are not learnt from."""
        return self._probe_wanted or self.probe is not None

    @probe_wanted.setter
    def probe_wanted(self, wanted: bool) -> None:
        self._probe_wanted = wanted

    @property
    def probe_bytes(self) -> int:
        """How much to upload as a probe."""
        with self._lock:
            return self._estimator.probe_bytes(self.clock())

    @property
    def probe_wait_s(self) -> float:
        """Seconds between two probes: none after one that was out of line, since another one tells what it meant."""
        with self._lock:
            return 0.0 if self._estimator.is_puzzled and self.probe is None else self.probe_every_s

    @property
    def rtt_s(self) -> float:
        """Seconds of a round trip, as far as it is known."""
        with self._lock:
            return self._estimator.rtt_s

    def belief(self) -> LinkBelief | None:
        """How fast the link is believed to be now; an upload or a ping that is not done yet is evidence too."""
        with self._lock:
            now_s, under_way = self.clock(), self._under_way
            return self._estimator.belief(
                now_s,
                under_way=None if under_way is None else (under_way[0], now_s - under_way[1]),
                pinging_s=max(0.0, now_s - self._pinging_since_s),
            )

    def assume(self, bandwidth_bps: float, rtt_s: float) -> None:
        """Begins with a link that somebody knows."""
        size_bytes = 100_000
        with self._lock:
            self._estimator.ping(rtt_s, self.clock())
            self._estimator.transfer(size_bytes, rtt_s + 8 * size_bytes / bandwidth_bps, self.clock())

    def uploading(self, size_bytes: int | None, since_s: float = 0.0) -> None:
        """The upload that is on the link now has so many bytes and has it to itself since then; None: there is none."""
        with self._lock:
            self._under_way = None if size_bytes is None else (size_bytes, since_s)

    def transferred(self, size_bytes: int, seconds: float, *, idle_s: float) -> None:
        """An upload and the word of its arrival took so long."""
        with self._lock:
            self.sent_bytes += size_bytes
            if self.probe is None:
                self._estimator.transfer(size_bytes, seconds, self.clock(), idle_s=idle_s)

    def probed(self, sample: Sample) -> None:
        """A probe took so long. One that is out of line is followed by another."""
        with self._lock:
            self.sent_bytes += sample.size_bytes
            self._estimator.transfer(sample.size_bytes, sample.seconds, self.clock())
            self._probe_wanted = self._estimator.is_puzzled

    def probe_failed(self, size_bytes: int, seconds: float) -> None:
        """A probe did not end in time: the link is slow, which says nothing of the server."""
        with self._lock:
            self.sent_bytes += size_bytes
            self._estimator.failed(self.clock(), size_bytes=size_bytes, seconds=seconds)

    def worked(self) -> None:
        """A frame was answered."""
        with self._lock:
            self._health.worked()

    def failed(self, error: SurgeryError, *, size_bytes: int = 0, seconds: float = 0.0) -> None:
        """A call failed: an upload of this size after so many seconds, or any other."""
        with self._lock:
            now_s = self.clock()
            if isinstance(error, DeadlineError):
                self._estimator.failed(now_s, size_bytes=size_bytes, seconds=seconds)
            lost = self._health.failed(error, now_s)
        if lost:
            self._on_event(Event("cloud-lost", f"the cloud is lost: {error}", now_s, {"reason": str(error)}))

    def until_ping_s(self) -> float:
        """Seconds until a ping is due: soon while the server is lost, now and then for the round trip."""
        with self._lock:
            now_s = self.clock()
            if self._health.lost:
                return self._health.until_ping_s(now_s)
            if self._estimator.wants_ping(now_s):
                return 0.0
            return min(max(0.0, self._ping_due_s - now_s), 0.5)

    def ping_in(self, seconds: float) -> None:
        """A ping is worth while then, if the link is idle."""
        with self._lock:
            self._ping_due_s = self.clock() + seconds

    def pinging(self) -> None:
        """A ping is out from now on."""
        with self._lock:
            self._ping_due_s, self._pinging_since_s = math.inf, self.clock()

    def pinged(self, seconds: float) -> None:
        """A ping was answered."""
        with self._lock:
            now_s = self.clock()
            self._pinging_since_s = math.inf
            self._estimator.ping(seconds, now_s)
            back, away_s = self._health.pinged(True, now_s), self._health.away_s(now_s)
        if back:
            self._on_event(Event("cloud-back", f"the cloud is back after {away_s:.3g} s", now_s, {"away_s": away_s}))

    def ping_failed(self, error: SurgeryError) -> None:
        """A ping was not answered."""
        with self._lock:
            self._pinging_since_s = math.inf
            if self._health.lost:
                self._health.pinged(False, self.clock())
                return
        self.failed(error)
