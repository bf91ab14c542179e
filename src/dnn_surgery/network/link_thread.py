"""A shaped link in one thread: an event loop that carries connections, and the calls that steer it."""

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
from dnn_surgery.network.addresses import join_address, split_address
from dnn_surgery.network.pacing import Pacer, checked_rate
from dnn_surgery.network.precise_loop import new_event_loop
from dnn_surgery.network.relay import Lane, Relay

_BACKLOG = 128


class LinkThread:
    """What :class:`~dnn_surgery.network.shaping.ShapedLink` is, in a thread of this process.

    It keeps its times only as well as the process lets go of Python's lock.

    Raises:
        InputError: an address, rate or delay makes no sense.
        AddressError: when entered, if `listen` cannot be listened on.
    """

    def __init__(
        self,
        target: str,
        *,
        up_bps: float,
        down_bps: float | None,
        delay_s: float,
        listen: str,
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

    def __enter__(self) -> LinkThread:
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
