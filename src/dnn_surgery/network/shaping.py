"""A link made to order: a TCP proxy in user space that forwards at a given rate and delay.

What it is not: TCP ends at the proxy, so connecting costs no round trip, nothing is lost, and slow start and
congestion control, which hold back the first transfers of a real connection, do not show.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from dnn_surgery.errors import AddressError, InputError
from dnn_surgery.network.pacing import Pacer, checked_rate
from dnn_surgery.network.precise_loop import new_event_loop
from dnn_surgery.network.relay import Lane, Relay

_BACKLOG = 128


class ShapedLink:
    """A link to `target` that clients reach at :attr:`address` while the context is open.

    All connections together get `up_bps` bits per second towards the target and `down_bps` back (None: not limited,
    as a planner's link without a download rate counts it). Every byte, and the end of a connection, arrives `delay_s`
    after it has left, in each direction: an RTT of twice that. When the target goes away, so does the client's
    connection; the target may come back. `listen` with port 0 takes a free port.

    It works in one thread of its own, so it keeps its times only as well as the process lets go of Python's lock.

    Raises:
        InputError: an address, rate or delay makes no sense.
        AddressError: when entered, if `listen` cannot be listened on.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        up_bps: float,
        down_bps: float | None = None,
        delay_s: float = 0.0,
        listen: str = "127.0.0.1:0",
    ) -> None:
        if not 0 <= delay_s < math.inf:
            raise InputError(f"the delay of a link must be zero or more seconds, got {delay_s}")
        self._up = Pacer(up_bps)
        self._down = Pacer(math.inf if down_bps is None else down_bps)
        self._relay = Relay(split_address(target), up=Lane(self._up, delay_s), down=Lane(self._down, delay_s))
        self._listen = split_address(listen)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_cut = False

    @property
    def address(self) -> str:
        """``host:port`` that clients connect to; stays the same when the link is cut and restored."""
        return join_address(*self._listen)

    @property
    def is_cut(self) -> bool:
        """Whether the link is cut now."""
        return self._is_cut

    def __enter__(self) -> ShapedLink:
        if self._thread is not None:
            raise InputError(f"the link at {self.address} is open already")
        listener = self._open_listener()
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shaped-link", daemon=True)
        self._thread.start()
        self._call(self._start(listener))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._call(self._relay.stop())
        self._call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None
        self._is_cut = False

    def set_rate(self, *, up_bps: float | None = None, down_bps: float | None = None) -> None:
        """Changes the rate of one or both directions (None: stays as it is; ``math.inf``: no limit).

        What has been read already, a few milliseconds' worth, still leaves at the old rate.
        """
        rates = [(self._up, up_bps), (self._down, down_bps)]
        for _, rate_bps in rates:
            checked_rate(1.0 if rate_bps is None else rate_bps)  # both are checked before either is changed
        for pacer, rate_bps in rates:
            if rate_bps is not None:
                pacer.rate_bps = rate_bps

    def cut(self) -> None:
        """Drops all connections, with what they have in flight, and refuses new ones until :meth:`restore`."""
        self._call(self._relay.stop())
        self._is_cut = True

    def restore(self) -> None:
        """Accepts connections again, at the same address.

        Raises:
            AddressError: another program has taken the port meanwhile.
        """
        if self._is_cut:
            self._call(self._start(self._open_listener()))
            self._is_cut = False

    def _open_listener(self) -> socket.socket:
        host, port = self._listen
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(place)
                listener.listen(_BACKLOG)
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            raise AddressError(f"cannot listen on {self.address}: {error.strerror or error}") from error
        self._listen = (host, listener.getsockname()[1])
        return listener

    async def _start(self, listener: socket.socket) -> None:
        self._relay.start(listener)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the link's thread and waits for it."""
        if self._loop is None:
            work.close()
            raise InputError("the link is not open: use it as a context manager")
        future: concurrent.futures.Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result()


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``.

    Raises:
        InputError: the text is no such address.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    # At most five ASCII digits: int() would take other digits, and refuse very long ones with an error of its own.
    good_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not colon or not bare or not good_port or (":" in bare and host == bare):
        raise InputError(f"cannot read {text!r} as an address: expected something like 127.0.0.1:50051")
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
