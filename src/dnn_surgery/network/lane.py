"""One direction of a link, and what carries bytes over it in one event loop.

    source --[1] read a chunk--> pacer: when has it left? --[2] in flight, delay--> [3] written --> sink

A chunk is read only when its pacer's queue has room, by default when it is about to fall idle [1], and while too much
is in flight nothing is read at all [2]: a sender that is faster than the link is stopped by its own full socket, as on
a real link. While the gate is shut nothing moves, in any of the three places.
"""

from __future__ import annotations

import asyncio
import collections
import socket
from dataclasses import dataclass, field

from dnn_surgery.network.pacing import AHEAD_S, Queue, Sender

_SLACK_BYTES = 256 * 1024  # in flight beside what the delay itself needs
_UNLIMITED_FLIGHT_BYTES = 16 * 1024 * 1024
_LEAST_KERNEL_BYTES = 8 * 1024  # what a socket holds unread where the queue is to be the lane's own
_CHUNK_COST_BYTES = 128  # what a chunk costs beside its bytes, so that many tiny ones are bounded too


@dataclass(slots=True)
class Lane:
    """One direction of a link: its pacer, the seconds a byte travels once it has left, and what may wait before that.

    Without a `queue` a little is read ahead, and what the sockets hold unread comes on top. `gate`, one for both
    directions, is shut while nothing moves. `delivered_bytes` counts what has arrived.
    """

    pacer: Sender
    delay_s: float
    gate: asyncio.Event
    queue: Queue | None = None
    delivered_bytes: int = field(default=0, init=False)

    @property
    def flight_bytes(self) -> float:
        """The most bytes a connection may hold: its queue, what rate times delay holds, and some slack."""
        queue = self.queue or Queue()
        waiting_s = max(queue.length_s or 0.0, AHEAD_S)
        flying_bytes = min(self.pacer.rate_bps * (self.delay_s + waiting_s) / 8, _UNLIMITED_FLIGHT_BYTES)
        return flying_bytes + (queue.size_bytes or 0.0) + _SLACK_BYTES

    def room_at(self) -> float:
        """When the next chunk is to be read: early enough that the pacer does not fall idle."""
        idle_soon_s = self.pacer.room_at(Queue(length_s=AHEAD_S))
        return idle_soon_s if self.queue is None else min(idle_soon_s, self.pacer.room_at(self.queue))

    def keep_queue_here(self, connection: socket.socket) -> None:
        """Has the socket hold little unread, where the lane has a queue of its own. Before it is connected."""
        if self.queue is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LEAST_KERNEL_BYTES)


async def pump(source: socket.socket, sink: socket.socket, lane: Lane) -> None:
    """Moves bytes from `source` to `sink` over the lane until the source ends, then ends the sink's direction too.

    What a source sent before it ended or failed still arrives, and so does its end, after the delay.

    Raises:
        OSError: the sink takes no more, or the source failed.
    """
    flight = _Flight()
    loop = asyncio.get_running_loop()
    reader = loop.create_task(_read(source, lane, flight))
    try:
        while True:
            due_s, chunk = await flight.first()
            await asyncio.sleep(due_s - loop.time())
            await lane.gate.wait()
            if not chunk:
                break
            await loop.sock_sendall(sink, chunk)  # [3]
            lane.delivered_bytes += len(chunk)
            flight.land()
        if flight.failure is not None:
            raise flight.failure
        sink.shutdown(socket.SHUT_WR)
    finally:
        await cancel(reader)


async def _read(source: socket.socket, lane: Lane, flight: _Flight) -> None:
    loop = asyncio.get_running_loop()
    chunk = b"start"
    while chunk:
        await flight.below(lane)  # [2]
        await lane.gate.wait()
        try:
            chunk = await loop.sock_recv(source, lane.pacer.chunk_bytes)
        except OSError as error:
            flight.failure = error
            chunk = b""
        sent_bytes = 0
        for size_bytes, left_s in lane.pacer.spread(len(chunk), loop.time()):
            flight.launch(left_s + lane.delay_s, chunk[sent_bytes : sent_bytes + size_bytes])
            sent_bytes += size_bytes
        await asyncio.sleep(lane.room_at() - loop.time())  # [1]


class _Flight:
    """What has left one end of a lane and has not arrived at the other, first in, first out."""

    def __init__(self) -> None:
        self._chunks: collections.deque[tuple[float, bytes]] = collections.deque()
        self._size_bytes = 0
        self.failure: OSError | None = None  # why the source ended, if not in good order
        self._launched = asyncio.Event()
        self._landed = asyncio.Event()

    def launch(self, due_s: float, chunk: bytes) -> None:
        self._chunks.append((due_s, chunk))
        self._size_bytes += len(chunk) + _CHUNK_COST_BYTES
        self._launched.set()

    async def first(self) -> tuple[float, bytes]:
        """The chunk that is due next, which stays in flight until it lands."""
        while not self._chunks:
            self._launched.clear()
            await self._launched.wait()
        return self._chunks[0]

    def land(self) -> None:
        _, chunk = self._chunks.popleft()
        self._size_bytes -= len(chunk) + _CHUNK_COST_BYTES
        self._landed.set()

    async def below(self, lane: Lane) -> None:
        """Waits until the lane takes more."""
        while self._size_bytes > lane.flight_bytes:
            self._landed.clear()
            await self._landed.wait()


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """Ends the tasks and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
