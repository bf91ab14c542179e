"""A link made to order: a TCP proxy in user space that forwards at a given rate and delay.

What it is not: TCP ends at the proxy, so connecting costs no round trip, nothing is lost, and slow start and
congestion control, which hold back the first transfers of a real connection, do not show.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import dnn_surgery
from dnn_surgery import errors
from dnn_surgery.errors import InputError, NetworkError
from dnn_surgery.network.addresses import join_address, split_address
from dnn_surgery.network.pacing import checked_rate

__all__ = ["ShapedLink", "join_address", "split_address"]

_END_TIMEOUT_S = 10.0


class ShapedLink:
    """A link to `target` that clients reach at :attr:`address` while the context is open.

    All connections together get `up_bps` bits per second towards the target and `down_bps` back (None: not limited,
    as a planner's link without a download rate counts it). Every byte, and the end of a connection, arrives `delay_s`
    after it has left, in each direction: an RTT of twice that. When the target goes away, so does the client's
    connection; the target may come back. `listen` with port 0 takes a free port.

    It works in a process of its own: in this one, whoever holds Python's lock for some milliseconds would hold up the
    link as well. The process ends with the context, or with this process.

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
        checked_rate(up_bps)
        checked_rate(math.inf if down_bps is None else down_bps)
        if not 0 <= delay_s < math.inf:
            raise InputError(f"the delay of a link must be zero or more seconds, got {delay_s}")
        self._options = {
            "target": join_address(*split_address(target)),
            "listen": join_address(*split_address(listen)),
            "up_bps": up_bps,
            "down_bps": down_bps,
            "delay_s": delay_s,
        }
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()  # one command and its answer at a time
        self._is_cut = False

    @property
    def address(self) -> str:
        """``host:port`` that clients connect to; stays the same when the link is cut and restored."""
        return str(self._options["listen"])

    @property
    def is_cut(self) -> bool:
        """Whether the link is cut now."""
        return self._is_cut

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
        self._is_cut = True

    def restore(self) -> None:
        """Accepts connections again, at the same address.

        Raises:
            AddressError: another program has taken the port meanwhile.
        """
        self._ask({"command": "restore"})
        self._is_cut = False

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
        self._is_cut = False
        if process is None:
            return
        with process:  # closes the pipes, and waits
            try:
                process.communicate(timeout=_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
