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

# A track is a process and a thread, as the format calls them.
Track = tuple[int, int]
_EDGE_COMPUTE, _UPLOAD, _CLOUD_COMPUTE = (1, 1), (1, 2), (2, 1)
_NAMES = (
    ("process_name", (1, 0), "edge"),
    ("process_name", (2, 0), "cloud"),
    ("thread_name", _EDGE_COMPUTE, "compute"),
    ("thread_name", _UPLOAD, "upload"),
    ("thread_name", _CLOUD_COMPUTE, "compute"),
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
        self._ends_us: dict[Track, float] = {}
        try:
            self._file = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write the trace {path}: {error.strerror}") from error
        # The array form: viewers do without the closing bracket, so a run that is killed leaves a trace as well.
        self._file.write("[")
        for name, track, text in _NAMES:
            self._write({"name": name, "ph": "M", "pid": track[0], "tid": track[1], "args": {"name": text}})

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
        self._stage(_EDGE_COMPUTE, "head", (times.edge_start_s, times.edge_end_s), details)
        if times.sent_s:
            # Without word of its arrival the upload ended with the call, well or not.
            end_s = times.received_s - half_s if times.received_s else times.replied_s or times.local_start_s
            self._stage(_UPLOAD, "upload", (times.sent_s, end_s), details | {"bytes": result.sent_bytes})
        if result.finished_by == "cloud":
            end_s = times.replied_s - half_s
            self._stage(_CLOUD_COMPUTE, "tail", (end_s - result.compute_s, end_s), details)
        if times.local_end_s:
            why = {"failure": result.failure}
            self._stage(_EDGE_COMPUTE, "local finish", (times.local_start_s, times.local_end_s), details | why)

    def event(self, text: str, time_s: float) -> None:
        """Writes a mark: something changed."""
        mark = {"name": text, "ph": "i", "s": "p", "pid": 1, "tid": 1}
        self._write(mark | {"ts": self._us(time_s)})

    def _stage(self, track: Track, name: str, span_s: tuple[float, float], details: dict[str, Any]) -> None:
        """One stage. Placed by estimate, it begins no earlier than the one before it on the same track ended."""
        start_us, end_us = (self._us(seconds) for seconds in span_s)
        if track != _EDGE_COMPUTE:
            start_us = max(start_us, self._ends_us.get(track, 0.0))
            end_us = self._ends_us[track] = max(start_us, end_us)
        stage = {"name": name, "ph": "X", "pid": track[0], "tid": track[1], "ts": start_us}
        self._write(stage | {"dur": round(end_us - start_us, 1), "args": details})

    def _us(self, seconds: float) -> float:
        if self._origin_s is None:
            self._origin_s = seconds
        return round((seconds - self._origin_s) * 1e6, 1)

    def _write(self, record: dict[str, Any]) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps(record) + ",\n")
