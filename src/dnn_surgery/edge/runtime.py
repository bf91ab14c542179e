"""An edge whose cut stays as it is. What runs the frames: :mod:`dnn_surgery.edge.runner`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dnn_surgery.edge.device import Clock, Device
from dnn_surgery.edge.frame import NamedInputs, Taken
from dnn_surgery.edge.retry import Retry
from dnn_surgery.edge.runner import A_MOMENT_AGO, Runner
from dnn_surgery.edge.way import Way, Ways
from dnn_surgery.execution.engine import Engine
from dnn_surgery.protocol.client import InferenceClient

__all__ = ["Edge", "FixedWay", "NamedInputs", "Retry"]


class FixedWay:
    """Sends every frame the same way; while the cloud is lost the edge finishes what the cloud should have."""

    def __init__(self, way: Way) -> None:
        self.way = way

    def choose(self, lost: str | None) -> Way:
        """See :meth:`Chooser.choose`."""
        if lost is None or not self.way.parts.sends:
            return self.way
        return replace(self.way, obstacle=lost if lost == A_MOMENT_AGO else f"{A_MOMENT_AGO}: {lost}")

    def finished(self, taken: Taken) -> None:
        """See :meth:`Chooser.finished`."""


class Edge(Runner):
    """Runs frames at one partition.

    Args:
        engine: what runs the edge's layers, and the rest when the cloud cannot.
        partition: the layers that run at the edge (a Plan's `edge`).
        client: the cloud; None keeps everything local.
        codecs: the codec of each boundary tensor that does not travel raw.
        deadline_s: how long the cloud may take for a frame before the edge finishes it.
        slowdown: emulates a slower device, see :class:`~dnn_surgery.edge.device.Device`.
        retry: when single frames try the cloud again after a failure.
        clock: monotonic seconds. sleep: waits that many.

    Raises:
        InputError: a slow-down below 1.
        ModelError: the layers are no partition.
    """

    def __init__(
        self,
        engine: Engine,
        partition: Iterable[str],
        *,
        client: InferenceClient | None = None,
        codecs: Mapping[str, str] | None = None,
        deadline_s: float = 10.0,
        slowdown: float = 1.0,
        retry: Retry | None = None,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        device = Device(slowdown=slowdown, clock=clock, sleep=sleep)
        parts = Ways(engine).build(partition)
        used = {name: codec for name, codec in (codecs or {}).items() if codec != "raw"}
        super().__init__(FixedWay(Way(parts, used, deadline_s)), device, client=client, retry=retry, clock=clock)
        self.head, self.tail = parts.head, parts.tail
