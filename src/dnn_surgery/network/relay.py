"""Carries TCP connections to a target over two lanes, one for each direction, in one event loop.

client -- lane up --> target
client <-- lane down, which all connections share too -- target
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Callable

from dnn_surgery.network.lane import Lane, cancel, pump

_CONNECT_TIMEOUT_S = 5.0
_ACCEPT_RETRY_S = 0.05  # accepting fails while the process has no descriptor left: try again, do not spin


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
        await cancel(*self._connections)

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
                up = asyncio.get_running_loop().create_task(pump(client, target, self._up))
                try:
                    # A target that is gone ends its own direction too, so this one alone says when all is over.
                    await pump(target, client, self._down)
                    _reset_on_close(client, False)
                    _reset_on_close(target, False)
                except OSError:
                    pass  # the client is gone, or the target failed and the client is told so by a reset
                finally:
                    await cancel(up)


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
            await cancel(attempt)
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
