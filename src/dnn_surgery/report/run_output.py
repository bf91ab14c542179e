"""All that a run tells: a line a frame, events, a view, a trace file, and the receipt."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from dnn_surgery.edge.connection import Connection
from dnn_surgery.edge.events import Event
from dnn_surgery.edge.receipt import Receipt
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.timeline import TimelineWriter
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.planning import Link, Plan
from dnn_surgery.report.frame_lines import FrameLines
from dnn_surgery.report.live_view import LiveView


class RunOutput:
    """Gathers what becomes of the frames and tells it. A context manager.

    Args:
        graph: the model, for its labels.
        as_json: JSON instead of text. view: whether a terminal gets the live view. trace: the trace file.

    Raises:
        InputError: the trace file cannot be written.
    """

    def __init__(
        self, graph: ModelGraph, *, as_json: bool = False, view: bool = True, trace: Path | None = None
    ) -> None:
        self.receipt = Receipt()
        self._lines = FrameLines(graph, as_json=as_json)
        self._wants_view = view and not as_json and sys.stdout.isatty()
        self._view: LiveView | None = None
        self._connection: Connection | None = None
        self._stack = ExitStack()
        self._timeline = None
        if trace is not None:
            self._timeline = self._stack.enter_context(TimelineWriter(trace, rtt_s=self._rtt_s))

    def __enter__(self) -> RunOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self, connection: Connection | None = None) -> None:
        """Frames come from now on: with this server, or without any."""
        self._connection = connection
        if connection is not None:
            self.planned(connection.plan, connection.link)
            self._lines.accuracy(connection.guarded)
        if self._wants_view:
            self._view = self._stack.enter_context(LiveView(Console(), self.receipt, connection))

    def planned(self, plan: Plan, link: Link) -> None:
        """Where the model is cut at first, and for which link."""
        self._lines.plan(plan, link)

    def event(self, event: Event) -> None:
        """Something changed. May be called in any thread."""
        self._lines.event(event)
        if self._timeline is not None:
            self._timeline.event(event.text, event.time_s)

    def result(self, result: FrameResult) -> None:
        """A frame has its answer."""
        self.receipt.add(result)
        if self._view is not None:
            self._view.result(result)
        if self._timeline is not None:
            self._timeline.add(result)
        self._lines.result(result)

    def record(self, result: FrameResult) -> dict[str, Any]:
        """A result as JSON has it."""
        return self._lines.record(result)

    def finish(self, *, skipped: Mapping[str, int] | None = None) -> None:
        """The last frame has its answer; `skipped` frames of each source were never taken in."""
        self._stack.close()
        connection = self._connection
        sent_bytes = connection.watch.sent_bytes if connection is not None else None
        left_bytes = connection.follower.budget_left_bytes if connection is not None else None
        self._lines.receipt(self.receipt.record(sent_bytes=sent_bytes, budget_left_bytes=left_bytes, skipped=skipped))

    def _rtt_s(self) -> float:
        return self._connection.watch.rtt_s if self._connection is not None else 0.0
