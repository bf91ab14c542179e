"""One view of a run while it goes on, below the lines of its frames; on a terminal only."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from dnn_surgery.edge.connection import Connection
from dnn_surgery.edge.receipt import Receipt
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.units import format_bandwidth, format_duration, format_size

# Rates and latencies are of the frames answered in these latest seconds.
_WINDOW_S = 10.0


class LiveView:
    """Mode, cut, link, frames a second, latency and local finishes, four times a second. A context manager.

    `clock` is the one of the frames' times.
    """

    def __init__(
        self,
        console: Console,
        receipt: Receipt,
        connection: Connection | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._receipt, self._connection, self._clock = receipt, connection, clock
        self._latest: deque[FrameResult] = deque()
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def result(self, result: FrameResult) -> None:
        """A frame has its answer."""
        self._latest.append(result)

    def render(self) -> RenderableType:
        """What the view shows now."""
        now_s = self._clock()
        while self._latest and self._latest[0].times.answered_s < now_s - _WINDOW_S:
            self._latest.popleft()
        latest = list(self._latest)
        table = Table(box=None, show_header=False, padding=(0, 1))
        table.add_column(style="dim")
        table.add_column()
        table.add_row("mode", self._mode())
        table.add_row("cut", latest[-1].cut if latest else "")
        table.add_row("link", self._link())
        table.add_row("frames", f"{self._receipt.frames}, {_rate(latest):.3g} a second")
        table.add_row("latency", _latency([result.latency_s for result in latest]))
        table.add_row("here instead", f"{self._receipt.local_finishes} finished here because the cloud could not")
        return table

    def _mode(self) -> str:
        if self._connection is None:
            return "local"
        if self._connection.watch.lost is not None:
            return "the cloud is lost: all stays here"
        plan = self._connection.follower.plan
        return "all stays here" if not plan.sent else plan.mode or "sent to the cloud"

    def _link(self) -> str:
        if self._connection is None:
            return "not used"
        watch = self._connection.watch
        belief = watch.belief()
        if belief is None:
            return "not known"
        doubt = f"{format_bandwidth(belief.low_bps)} to {format_bandwidth(belief.high_bps)}"
        rtt, sent = format_duration(belief.rtt_s), format_size(watch.sent_bytes)
        return f"{format_bandwidth(belief.bandwidth_bps)} ({doubt}), RTT {rtt}, {sent} sent"


def _rate(latest: list[FrameResult]) -> float:
    if len(latest) < 2:
        return 0.0
    seconds = latest[-1].times.answered_s - latest[0].times.answered_s
    return (len(latest) - 1) / seconds if seconds > 0 else 0.0


def _latency(latencies_s: list[float]) -> str:
    if not latencies_s:
        return ""
    ordered = sorted(latencies_s)
    p95_s = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{format_duration(statistics.median(ordered))} (median), {format_duration(p95_s)} (95th percentile)"
