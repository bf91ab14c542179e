"""Carries TCP connections to a target over two wires, one for each direction, in one event loop.

    client --[1] read a chunk--> pacer: when has it left? --[2] in flight, delay--> [3] written --> target
    client <-- the same over the other pacer, which all connections share too <-- target

A chunk is read only when its pacer's queue has room, by default when it is about to fall idle [1], and while too much
is in flight nothing is read at all [2]: a sender that is faster than the link is stopped by its own full socket, as on
a real link. While the gate is shut nothing moves, in any of the three places.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from dnn_surgery.network.pacing import AHEAD_S, Queue, Sender

_CONNECT_TIMEOUT_S = 5.0
_ACCEPT_RETRY_S = 0.05  # accepting fails while the process has no descriptor left: try again, do not spin
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


class Relay:
    """Accepts connections on a listening socket and carries each to `target` (host, port).

    A target that cannot be reached, or that closes, closes the client's connection; the next one is connected anew.
    """

    def __init__(
        self, target: tuple[str, int], *, up: Lane, down: Lane, on_connection: Callable[[], None] = lambda: None
    ) -> None:
        self._target = target
        self._up = up
        self._down = down
        self._on_connection = on_connection
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def start(self, listener: socket.socket) -> None:
        """Begins to accept; from then on the relay owns the socket. To be called in the event loop."""
        listener.setblocking(False)
        self._listener = listener
        self._listen(listener)

    async def stop(self) -> None:
        """Refuses new connections and drops those there are, at once and without delivering what is in flight."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await _cancel(*self._connections)

    def _listen(self, listener: socket.socket) -> None:
        if listener is self._listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            loop.remove_reader(listener)
            loop.call_later(_ACCEPT_RETRY_S, self._listen, listener)
            return
        # Until the target has closed in good order, closing means a reset: the other side notices at once.
        _reset_on_close(client, True)
        self._on_connection()
        task = loop.create_task(self._carry(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(functools.partial(_close, client))  # a task may be cancelled before it has begun

    async def _carry(self, client: socket.socket) -> None:
        with client:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._up.gate.wait()
            try:
                target = await _connect(self._target, self._down)
            except OSError:
                return
            _reset_on_close(target, True)
            with target:
                up = asyncio.get_running_loop().create_task(_pump(client, target, self._up))
                try:
                    # A target that is gone ends its own direction too, so this one alone says when all is over.
                    await _pump(target, client, self._down)
                    _reset_on_close(client, False)
                    _reset_on_close(target, False)
                except OSError:
                    pass  # the client is gone, or the target failed and the client is told so by a reset
                finally:
                    await _cancel(up)


async def _pump(source: socket.socket, sink: socket.socket, lane: Lane) -> None:
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
        await _cancel(reader)


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


async def _connect(address: tuple[str, int], lane: Lane) -> socket.socket:
    """A non-blocking connection.

    Raises:
        OSError: nobody answers there (in time).
    """
    loop = asyncio.get_running_loop()
    failure: OSError = ConnectionRefusedError(f"{address[0]} has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(*address, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        lane.keep_queue_here(connection)
        attempt = loop.create_task(loop.sock_connect(connection, place))
        try:
            # Not asyncio.wait_for: before Python 3.12 it forgets a cancellation that comes as the attempt succeeds.
            await asyncio.wait({attempt}, timeout=_CONNECT_TIMEOUT_S)
            if not attempt.done():
                raise TimeoutError(f"{address[0]} does not answer")
            attempt.result()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException as error:
            await _cancel(attempt)
            connection.close()
            if not isinstance(error, OSError):
                raise
            failure = error
        else:
            return connection
    raise failure


def _reset_on_close(connection: socket.socket, reset: bool) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(reset), 0))


def _close(connection: socket.socket, _: asyncio.Task[None]) -> None:
    connection.close()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
