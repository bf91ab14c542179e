"""Every frame's stages as a trace that chrome://tracing and ui.perfetto.dev open (the Trace Event Format, JSON).

The cloud's clock is not known here: its computing is placed so that it ends half a round trip before its reply came,
and the upload so that it ends half a round trip before word of its arrival came.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from dnn_surgery.edge.result import FrameResult
from dnn_surgery.errors import InputError

_EDGE, _CLOUD = 1, 2
_COMPUTE, _LINK = 1, 2
_NAMES = (
    ("process_name", _EDGE, 0, "edge"),
    ("process_name", _CLOUD, 0, "cloud"),
    ("thread_name", _EDGE, _COMPUTE, "compute"),
    ("thread_name", _EDGE, _LINK, "upload"),
    ("thread_name", _CLOUD, _COMPUTE, "compute"),
)


class TimelineWriter:
    """Writes a trace file while frames are answered; a context manager. What is written so far opens at any time.

    Args:
        path: the file. rtt_s: the round trip as it is known now.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, rtt_s: Callable[[], float] = lambda: 0.0) -> None:
        self.path = Path(path)
        self._rtt_s = rtt_s
        self._origin_s: float | None = None
        self._lock = threading.Lock()
        self._ends_us: dict[tuple[int, int], float] = {}
        try:
            self._file = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write the trace {path}: {error.strerror}") from error
        # The array form: viewers do without the closing bracket, so a run that is killed leaves a trace as well.
        self._file.write("[")
        for name, process, thread, text in _NAMES:
            self._write({"name": name, "ph": "M", "pid": process, "tid": thread, "args": {"name": text}})

    def __enter__(self) -> TimelineWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the file."""
        with self._lock:
            if self._file.closed:
                return
            self._file.write('{"name": "end", "ph": "M", "pid": 1, "tid": 0, "args": {}}]\n')
            self._file.close()

    def add(self, result: FrameResult) -> None:
        """Writes the stages of one frame."""
        times, half_s = result.times, self._rtt_s() / 2
        details = {"frame": result.name, "index": result.index, "cut": result.cut, "finished_by": result.finished_by}
        self._stage(_EDGE, _COMPUTE, "head", times.edge_start_s, times.edge_end_s, details)
        if times.sent_s:
            # Without word of its arrival the upload ended with the call, well or not.
            end_s = times.received_s - half_s if times.received_s else times.replied_s or times.local_start_s
            self._stage(_EDGE, _LINK, "upload", times.sent_s, end_s, details | {"bytes": result.sent_bytes})
        if result.finished_by == "cloud":
            end_s = times.replied_s - half_s
            self._stage(_CLOUD, _COMPUTE, "tail", end_s - result.compute_s, end_s, details)
        if times.local_end_s:
            why = {"failure": result.failure}
            self._stage(_EDGE, _COMPUTE, "local finish", times.local_start_s, times.local_end_s, details | why)

    def event(self, text: str, time_s: float) -> None:
        """Writes a mark: something changed."""
        self._write({"name": text, "ph": "i", "s": "p", "pid": _EDGE, "tid": _COMPUTE, "ts": self._us(time_s)})

    def _stage(self, process: int, thread: int, name: str, start_s: float, end_s: float, details: Any) -> None:
        """One stage. Placed by estimate, it begins no earlier than the one before it on the same track ended."""
        start_us, end_us = self._us(start_s), self._us(end_s)
        if (process, thread) != (_EDGE, _COMPUTE):
            start_us = max(start_us, self._ends_us.get((process, thread), 0.0))
            end_us = max(start_us, end_us)
            self._ends_us[process, thread] = end_us
        self._write(
            {
                "name": name,
                "ph": "X",
                "pid": process,
                "tid": thread,
                "ts": start_us,
                "dur": end_us - start_us,
                "args": details,
            }
        )

    def _us(self, seconds: float) -> float:
        if self._origin_s is None:
            self._origin_s = seconds
        return round((seconds - self._origin_s) * 1e6, 1)

    def _write(self, record: dict[str, Any]) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps(record) + ",\n")
