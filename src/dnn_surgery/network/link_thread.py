"""A shaped link in one thread: an event loop that carries connections, and the calls that steer it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dnn_surgery.errors import AddressError, InputError
from dnn_surgery.network.addresses import join_address, split_address
from dnn_surgery.network.lane import Lane
from dnn_surgery.network.pacing import Pacer, Queue, checked_rate
from dnn_surgery.network.precise_loop import new_event_loop
from dnn_surgery.network.relay import Relay
from dnn_surgery.network.trace_pacing import LinkClock, TracePacer
from dnn_surgery.network.traces import read_trace
from dnn_surgery.network.windows import Window, checked_windows

_BACKLOG = 128
_LISTEN_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class LinkState:
    """How a link is now. `elapsed_s` is its clock, None until the first connection; bytes are those delivered."""

    elapsed_s: float | None
    is_cut: bool
    is_stalled: bool
    connections: int
    up_bytes: int
    down_bytes: int


class LinkThread:
    """What :class:`~dnn_surgery.network.shaping.ShapedLink` is, in a thread of this process; arguments as there.

    It keeps its times only as well as the process lets go of Python's lock. `on_event` is told, in the link's thread,
    of each ``cut``, ``restored``, ``stalled``, ``moving`` and ``connection``.

    Raises:
        InputError: an address, rate, delay, trace or window makes no sense.
        AddressError: when entered, if `listen` cannot be listened on.
    """

    def __init__(
        self,
        target: str,
        *,
        up_bps: float | None,
        down_bps: float | None,
        delay_s: float,
        listen: str,
        trace: str | Path | None = None,
        down_trace: str | Path | None = None,
        queue_bytes: float | None = None,
        queue_s: float | None = None,
        outages: Sequence[Window] = (),
        stalls: Sequence[Window] = (),
        start_at_s: float = 0.0,
        on_event: Callable[[str, float], None] = lambda _event, _at_s: None,
    ) -> None:
        if not 0 <= delay_s < math.inf:
            raise InputError(f"the delay of a link must be zero or more seconds, got {delay_s}")
        if not 0 <= start_at_s < math.inf:
            raise InputError(f"a link's clock must start at zero or more seconds, got {start_at_s}")
        self._clock = LinkClock(start_at_s)
        queue, gate = _queue(queue_bytes, queue_s), asyncio.Event()
        gate.set()
        self._gate = gate
        self._up = Lane(_sender(up_bps, trace, self._clock), delay_s, gate, queue)
        self._down = Lane(_sender(down_bps, down_trace, self._clock), delay_s, gate, queue)
        self._relay = Relay(split_address(target), up=self._up, down=self._down, on_connection=self._connected)
        self._steps = _steps(checked_windows(outages, "outage"), checked_windows(stalls, "stall"))
        self._on_event = on_event
        self._listen = split_address(listen)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._following: asyncio.Task[None] | None = None
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
        self._call(self._stop())
        self._call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None
        self._is_cut = False

    def set_rate(self, *, up_bps: float | None = None, down_bps: float | None = None) -> None:
        """Changes the rate of one or both directions (None: stays as it is; ``math.inf``: no limit).

        What has been read already, a few milliseconds' worth, still leaves at the old rate.

        Raises:
            InputError: a rate is not positive, or its direction follows a trace.
        """
        rates = [(self._up.pacer, up_bps), (self._down.pacer, down_bps)]
        chosen = [(pacer, checked_rate(rate_bps)) for pacer, rate_bps in rates if rate_bps is not None]
        for pacer, _ in chosen:  # all are checked before any is changed
            if not isinstance(pacer, Pacer):
                raise InputError("this direction of the link follows a trace: its rate cannot be set")
        for pacer, rate_bps in chosen:
            if isinstance(pacer, Pacer):
                pacer.rate_bps = rate_bps

    def cut(self) -> None:
        """Drops all connections, with what they have in flight, and refuses new ones until :meth:`restore`."""
        self._call(self._cut())

    def restore(self) -> None:
        """Accepts connections again, at the same address.

        Raises:
            AddressError: another program has taken the port meanwhile.
        """
        self._call(self._restore())

    def stall(self) -> None:
        """Nothing moves until :meth:`resume`, in either direction, while connections stay open and new ones open."""
        self._call(self._stall())

    def resume(self) -> None:
        """Ends a stall: what was held up arrives."""
        self._call(self._resume())

    def state(self) -> LinkState:
        """How it is now."""
        loop, clock = self._loop, self._clock
        return LinkState(
            elapsed_s=clock.at(loop.time()) if loop is not None and clock.is_running else None,
            is_cut=self._is_cut,
            is_stalled=not self._gate.is_set(),
            connections=self._relay.connections,
            up_bytes=self._up.delivered_bytes,
            down_bytes=self._down.delivered_bytes,
        )

    def _open_listener(self) -> socket.socket:
        host, port = self._listen
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._up.keep_queue_here(listener)  # the connections that it accepts inherit it
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

    async def _stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        self._clock.stop()
        self._gate.set()
        await self._relay.stop()

    def _connected(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._clock.is_running:
            self._clock.start(loop.time())
            if self._steps:
                self._following = loop.create_task(self._follow())
        self._tell("connection")

    async def _follow(self) -> None:
        """Takes the steps that outages and stalls ask for, each at its time."""
        acts = {"cut": self._cut, "restored": self._restore, "stalled": self._stall, "moving": self._resume}
        loop = asyncio.get_running_loop()
        for at_s, what in self._steps:
            await asyncio.sleep(self._clock.when(at_s) - loop.time())
            while True:
                try:
                    await acts[what]()
                except AddressError:  # another program has the port for the moment
                    await asyncio.sleep(_LISTEN_RETRY_S)
                else:
                    break

    async def _cut(self) -> None:
        await self._relay.stop()
        self._is_cut = True
        self._tell("cut")

    async def _restore(self) -> None:
        if self._is_cut:
            self._relay.start(self._open_listener())
            self._is_cut = False
            self._tell("restored")

    async def _stall(self) -> None:
        self._gate.clear()
        self._tell("stalled")

    async def _resume(self) -> None:
        self._gate.set()
        self._tell("moving")

    def _tell(self, event: str) -> None:
        self._on_event(event, self._clock.at(asyncio.get_running_loop().time()))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the link's thread and waits for it."""
        if self._loop is None:
            work.close()
            raise InputError("the link is not open: use it as a context manager")
        future: concurrent.futures.Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result()


def _queue(size_bytes: float | None, length_s: float | None) -> Queue | None:
    if size_bytes is None and length_s is None:
        return None
    if size_bytes is not None and length_s is not None:
        raise InputError("a link's queue is so many bytes or so many seconds long, not both")
    for value in (size_bytes, length_s):
        if value is not None and not 0 <= value < math.inf:
            raise InputError(f"the queue of a link must hold zero or more bytes or seconds, got {value}")
    return Queue(size_bytes, length_s)


def _sender(rate_bps: float | None, trace: str | Path | None, clock: LinkClock) -> Pacer | TracePacer:
    if trace is None:
        return Pacer(math.inf if rate_bps is None else rate_bps)
    if rate_bps is not None:
        raise InputError(f"a direction of a link has a rate or a trace, not both: {rate_bps:g} bit/s and {trace}")
    return TracePacer(read_trace(trace), clock)


def _steps(outages: Sequence[Window], stalls: Sequence[Window]) -> list[tuple[float, str]]:
    """What is to happen when; of two steps at one time, the end of a window comes before the begin of the next."""
    begins = [(at_s, 1, what) for windows, what in ((outages, "cut"), (stalls, "stalled")) for at_s, _ in windows]
    ends = [
        (at_s + length_s, 0, what)
        for windows, what in ((outages, "restored"), (stalls, "moving"))
        for at_s, length_s in windows
    ]
    return [(at_s, what) for at_s, _, what in sorted(begins + ends)]
