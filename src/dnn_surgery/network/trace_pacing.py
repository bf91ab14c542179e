"""One direction of a link that follows a trace: when does the last byte of a chunk leave?

    used = max(used, capacity(now)) + size,  finish = time_of(used)

`used` is how much of the trace's capacity, counted from its beginning, is gone: by bytes that were sent, or because
there were none to send at that time. So bytes that fill an opportunity only in part leave the rest to those that come
before it is over, as in Mahimahi.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dnn_surgery.errors import InputError
from dnn_surgery.network.pacing import CHUNK_S, Queue
from dnn_surgery.network.traces import OPPORTUNITY_BYTES, Trace

_LARGEST_CHUNK_BYTES = 256 * 1024


@dataclass(slots=True)
class LinkClock:
    """Seconds on the link's own clock, which traces, outages and stalls follow: `start_at_s` when it starts."""

    start_at_s: float = 0.0
    _origin_s: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has been started."""
        return self._origin_s is not None

    def start(self, now_s: float) -> None:
        """Starts it, unless it runs already."""
        if self._origin_s is None:
            self._origin_s = now_s - self.start_at_s

    def stop(self) -> None:
        """Back to how it was before it was started."""
        self._origin_s = None

    def at(self, now_s: float) -> float:
        """What it shows at `now_s` of the clock that started it."""
        return self.start_at_s if self._origin_s is None else now_s - self._origin_s

    def when(self, at_s: float) -> float:
        """The inverse of :meth:`at`."""
        return at_s if self._origin_s is None else at_s + self._origin_s


class TracePacer:
    """A :class:`~dnn_surgery.network.pacing.Sender` that follows `trace` on `clock`."""

    def __init__(self, trace: Trace, clock: LinkClock) -> None:
        self._trace, self._clock = trace, clock
        self._used_bytes = -math.inf
        self._rate_bps = trace.peak_bps
        in_chunk = min(int(self._rate_bps / 8 * CHUNK_S), _LARGEST_CHUNK_BYTES)
        self._chunk_bytes = max(in_chunk, OPPORTUNITY_BYTES)

    @property
    def rate_bps(self) -> float:
        """Bits per second at most: the trace's fastest second."""
        return self._rate_bps

    @rate_bps.setter
    def rate_bps(self, _: float) -> None:
        raise InputError("this direction of the link follows a trace: its rate cannot be set")

    @property
    def chunk_bytes(self) -> int:
        """The most bytes to read in one piece."""
        return self._chunk_bytes

    def spread(self, size_bytes: int, now_s: float) -> Iterator[tuple[int, float]]:
        """See :class:`~dnn_surgery.network.pacing.Sender`: no byte waits for one after a gap in the trace."""
        trace = self._trace
        self._used_bytes = max(self._used_bytes, trace.capacity(self._clock.at(now_s)))
        while True:
            soon_s = trace.time_of(self._used_bytes + 1) + CHUNK_S
            piece = min(size_bytes, max(1, int(trace.capacity(soon_s) - self._used_bytes)))
            self._used_bytes += piece
            left_s = self._clock.when(trace.time_of(self._used_bytes))
            yield piece, max(left_s, now_s)
            size_bytes -= piece
            if size_bytes == 0:
                return

    def room_at(self, queue: Queue) -> float:
        """See :class:`~dnn_surgery.network.pacing.Sender`."""
        if queue.size_bytes is not None:
            return self._clock.when(self._trace.time_of(self._used_bytes - queue.size_bytes))
        return self._clock.when(self._trace.time_of(self._used_bytes)) - (queue.length_s or 0.0)
