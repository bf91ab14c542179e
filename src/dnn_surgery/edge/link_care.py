"""What is done with the link while no frame is on it: pings for the round trip or a lost server, probes for the rate.

Called by the one thread that owns the link, so a ping never shares it with an upload.
"""

from __future__ import annotations

import contextlib
import math

from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.errors import DeadlineError, SurgeryError, UnreachableError
from dnn_surgery.network.probe import Sample
from dnn_surgery.protocol.client import InferenceClient

PING_TIMEOUT_S = 1.0
_PROBE_TIMEOUT_S = 3.0

# Where probes alone say how fast the link is, frames wait for one that is late by so many of its intervals.
_OVERDUE = 2.0


class LinkCare:
    """Pings and probes of one server; the watch says when they are due and is told what they saw."""

    def __init__(self, client: InferenceClient, watch: LinkWatch) -> None:
        self._client, self._watch = client, watch
        self._connected = False
        self._probed_s = -math.inf
        self.ended_s = -math.inf

    def until_due_s(self) -> float:
        """Seconds until there is something to do on an idle link."""
        watch = self._watch
        if watch.probe_wanted and watch.lost is None:
            return min(watch.until_ping_s(), max(0.0, self._probed_s + watch.probe_wait_s - watch.clock()))
        return watch.until_ping_s()

    @property
    def is_overdue(self) -> bool:
        """Whether the next frame has to wait for a probe."""
        watch = self._watch
        if watch.probe is None or watch.lost is not None:
            return False
        return watch.clock() - self._probed_s > _OVERDUE * watch.probe_every_s

    def do(self) -> None:
        """A ping if one is due, else a probe if one is wanted."""
        if not self.is_overdue and self._watch.until_ping_s() <= 0:
            self._ping()
        elif self._watch.probe_wanted:
            self._probe()

    def _ping(self) -> None:
        try:
            # The first call on a connection pays for connecting.
            for _ in range(1 if self._connected and self._watch.lost is None else 2):
                self._watch.pinging()
                seconds = self._client.ping(timeout_s=PING_TIMEOUT_S)
        except SurgeryError as error:
            self._watch.ping_failed(error)
            if isinstance(error, DeadlineError):
                # Packets may vanish on the old connection for minutes before TCP gives it up.
                with contextlib.suppress(SurgeryError):
                    self._client.reconnect()
            return
        self._connected = True
        self._watch.pinged(seconds)

    def _probe(self) -> None:
        watch, size_bytes = self._watch, self._watch.probe_bytes
        watch.probe_wanted, self._probed_s = False, watch.clock()
        try:
            if watch.probe is not None:
                sample = watch.probe()
            else:
                sample = Sample(size_bytes, self._client.probe(size_bytes, timeout_s=_PROBE_TIMEOUT_S))
        except SurgeryError as error:
            # A server of another make has no such call, and without iperf3's server the rest works as well.
            if isinstance(error, DeadlineError):
                watch.probe_failed(size_bytes, watch.clock() - self._probed_s)
            elif isinstance(error, UnreachableError):
                watch.failed(error)
            return
        watch.probed(sample)
        self.ended_s = watch.clock()
