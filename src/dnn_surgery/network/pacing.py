"""One direction of a link as arithmetic: when does the last byte of a chunk leave? No sockets, no clock of its own.

    finish = max(now, free) + 8 * size / rate,  free = finish

`free` is when the pacer has sent everything that it was given before. A pacer that fell idle earns no credit, so that
nothing ever leaves faster than the rate; a caller that comes late while the pacer is still busy loses no time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from dnn_surgery.errors import InputError

CHUNK_S = 0.004
"""A chunk is what the pacer sends in this time: the burst that a receiver may see."""

AHEAD_S = 0.008
"""How long before the pacer falls idle the next chunk is asked for, so that a late wake-up costs no rate."""

_SMALLEST_CHUNK_BYTES = 64
_LARGEST_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Queue:
    """How much may wait for its turn before nothing more is read: so many bytes, or what leaves in so many seconds."""

    size_bytes: float | None = None
    length_s: float | None = None


class Sender(Protocol):
    """What decides when bytes leave: a rate (:class:`Pacer`) or a trace."""

    @property
    def rate_bps(self) -> float:
        """Bits per second at most."""

    @property
    def chunk_bytes(self) -> int:
        """The most bytes to read in one piece."""

    def spread(self, size_bytes: int, now_s: float) -> Iterator[tuple[int, float]]:
        """Sends `size_bytes` in pieces that leave within a few milliseconds; the size of each, and when its last byte
        has left."""

    def room_at(self, queue: Queue) -> float:
        """The time at which no more than `queue` still waits."""


class Pacer:
    """Sends chunks one after the other at `rate_bps` (``math.inf``: at once), whichever connection they come from."""

    def __init__(self, rate_bps: float) -> None:
        self._free_s = -math.inf
        self._rate_bps = checked_rate(rate_bps)

    @property
    def rate_bps(self) -> float:
        """Bits per second; setting it applies to the chunks that are sent from then on."""
        return self._rate_bps

    @rate_bps.setter
    def rate_bps(self, rate_bps: float) -> None:
        self._rate_bps = checked_rate(rate_bps)

    @property
    def chunk_bytes(self) -> int:
        """The most bytes to send in one piece, so that connections take turns and a receiver sees no burst."""
        if math.isinf(self._rate_bps):
            return _LARGEST_CHUNK_BYTES
        return int(min(max(self._rate_bps / 8 * CHUNK_S, _SMALLEST_CHUNK_BYTES), _LARGEST_CHUNK_BYTES))

    def send(self, size_bytes: int, now_s: float) -> float:
        """Sends `size_bytes`; returns the time in seconds at which their last byte has left."""
        self._free_s = max(now_s, self._free_s) + size_bytes * 8 / self._rate_bps
        return self._free_s

    def spread(self, size_bytes: int, now_s: float) -> Iterator[tuple[int, float]]:
        """See :class:`Sender`: one piece."""
        yield size_bytes, self.send(size_bytes, now_s)

    def room_at(self, queue: Queue) -> float:
        """See :class:`Sender`."""
        if queue.size_bytes is not None:
            return self._free_s - queue.size_bytes * 8 / self._rate_bps
        return self._free_s - (queue.length_s or 0.0)


def checked_rate(rate_bps: float) -> float:
    """The rate itself.

    Raises:
        InputError: it is not positive.
    """
    if not rate_bps > 0:
        raise InputError(f"the rate of a link must be positive, got {rate_bps} bit/s")
    return float(rate_bps)
