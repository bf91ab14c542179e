"""A link made to order: a TCP proxy in user space that forwards at a given rate and delay.

What it is not: TCP ends at the proxy, so connecting costs no round trip, nothing is lost, and slow start and
congestion control, which hold back the first transfers of a real connection, do not show.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import dnn_surgery
from dnn_surgery import errors
from dnn_surgery.errors import InputError, NetworkError
from dnn_surgery.network.addresses import join_address, split_address
from dnn_surgery.network.link_thread import LinkState, LinkThread
from dnn_surgery.network.windows import Window

__all__ = ["LinkState", "ShapedLink", "join_address", "split_address"]

_END_TIMEOUT_S = 10.0


class ShapedLink:
    """A link to `target` that clients reach at :attr:`address` while the context is open.

    All connections together get `up_bps` bits per second towards the target and `down_bps` back (None: not limited,
    as a planner's link without a download rate counts it). Every byte, and the end of a connection, arrives `delay_s`
    after it has left, in each direction: an RTT of twice that. When the target goes away, so does the client's
    connection; the target may come back. `listen` with port 0 takes a free port.

    Its clock starts with the first connection, at `start_at_s`; by it go traces, outages and stalls.

    It works in a process of its own: in this one, whoever holds Python's lock for some milliseconds would hold up the
    link as well. The process ends with the context, or with this process.

    Args:
        target: ``host:port`` that it carries connections to. listen: where clients connect.
        up_bps: and `down_bps`: bits per second. delay_s: seconds each way.
        trace: a file (see :mod:`dnn_surgery.network.traces`) that says the rate up instead of `up_bps`. down_trace:
            likewise for the way back.
        queue_bytes: how many bytes of each direction may wait here before the sender is stopped, or `queue_s`, what
            leaves in so many seconds. By default little waits here, and what the system's sockets hold on top.
        outages: (begin, length) in seconds: connections are dropped and refused.
        stalls: (begin, length) in seconds: nothing moves, connections stay open.
        start_at_s: what the clock shows when it starts.

    Raises:
        InputError: an address, rate, delay, trace or window makes no sense.
        AddressError: when entered, if `listen` cannot be listened on.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        up_bps: float | None = None,
        down_bps: float | None = None,
        delay_s: float = 0.0,
        listen: str = "127.0.0.1:0",
        trace: str | Path | None = None,
        down_trace: str | Path | None = None,
        queue_bytes: float | None = None,
        queue_s: float | None = None,
        outages: Sequence[Window] = (),
        stalls: Sequence[Window] = (),
        start_at_s: float = 0.0,
    ) -> None:
        self._options: dict[str, Any] = {
            "target": join_address(*split_address(target)),
            "listen": join_address(*split_address(listen)),
            "up_bps": up_bps,
            "down_bps": down_bps,
            "delay_s": delay_s,
            "trace": None if trace is None else str(Path(trace).resolve()),
            "down_trace": None if down_trace is None else str(Path(down_trace).resolve()),
            "queue_bytes": queue_bytes,
            "queue_s": queue_s,
            "outages": list(outages),
            "stalls": list(stalls),
            "start_at_s": start_at_s,
        }
        LinkThread(**self._options)  # checks them; it opens nothing until it is entered
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()  # one command and its answer at a time

    @property
    def address(self) -> str:
        """``host:port`` that clients connect to; stays the same when the link is cut and restored."""
        return str(self._options["listen"])

    @property
    def is_cut(self) -> bool:
        """Whether the link is cut now; a link that is not open is not."""
        return self._process is not None and self.state().is_cut

    def __enter__(self) -> ShapedLink:
        if self._process is not None:
            raise InputError(f"the link at {self.address} is open already")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dnn_surgery.network.link_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(dnn_surgery.__file__).parents[1],  # where `-m` finds the package, installed or not
            start_new_session=True,  # Ctrl-C is for this process, which may still have answers under way on the link
        )
        try:
            self._options["listen"] = self._ask(self._options)["address"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def set_rate(self, *, up_bps: float | None = None, down_bps: float | None = None) -> None:
        """Changes the rate of one or both directions (None: stays as it is; ``math.inf``: no limit).

        What has been read already, a few milliseconds' worth, still leaves at the old rate.
        """
        self._ask({"command": "set_rate", "up_bps": up_bps, "down_bps": down_bps})

    def cut(self) -> None:
        """Drops all connections, with what they have in flight, and refuses new ones until :meth:`restore`."""
        self._ask({"command": "cut"})

    def restore(self) -> None:
        """Accepts connections again, at the same address.

        Raises:
            AddressError: another program has taken the port meanwhile.
        """
        self._ask({"command": "restore"})

    def stall(self) -> None:
        """Nothing moves until :meth:`resume`, in either direction, while connections stay open and new ones open."""
        self._ask({"command": "stall"})

    def resume(self) -> None:
        """Ends a stall: what was held up arrives."""
        self._ask({"command": "resume"})

    def state(self) -> LinkState:
        """How it is now."""
        return LinkState(**self._ask({"command": "state"}))

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Sends the process one command and returns its answer.

        Raises:
            SurgeryError: of the class that the process names.
            NetworkError: the process has died.
        """
        with self._lock:
            process = self._process
            if process is None or process.stdin is None or process.stdout is None:
                raise InputError("the link is not open: use it as a context manager")
            try:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
        if not line:
            raise NetworkError(f"the process of the link at {self.address} has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        with process:  # closes the pipes, and waits
            try:
                process.communicate(timeout=_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
