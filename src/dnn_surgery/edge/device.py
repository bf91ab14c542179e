"""The device's own computing: one piece of work at a time, and finishing a frame goes before beginning one."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dnn_surgery import codecs as codec_registry
from dnn_surgery.edge.frame import Taken
from dnn_surgery.errors import InputError

Clock = Callable[[], float]
Result = TypeVar("Result")


class Device:
    """Heads, encoding and local finishes of one edge. Thread-safe.

    Args:
        slowdown: emulates a slower device, which takes so many times as long to compute and encode: all that is done so
            many times over, since waiting instead would multiply what one cold run took.
        clock: monotonic seconds. sleep: waits that many.

    Raises:
        InputError: a slow-down below 1.
    """

    def __init__(
        self, *, slowdown: float = 1.0, clock: Clock = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if not 1 <= slowdown < math.inf:
            raise InputError(f"an emulated slow-down must be at least 1, got {slowdown}")
        self.slowdown = slowdown
        self._clock, self._sleep = clock, sleep
        self._changed = threading.Condition()
        self._busy, self._urgent = False, 0

    def begin(self, taken: Taken) -> None:
        """Runs the head and encodes what is to be sent.

        Raises:
            TensorError: the inputs are not the model's.
        """
        with self._turn(urgent=False):
            taken.times.edge_start_s = self._clock()
            self._slowly(lambda: self._head(taken))
            taken.times.edge_end_s = self._clock()

    def finish(self, taken: Taken) -> None:
        """Runs what is left of the model on the tensors that were kept, where the edge may hold all of it."""
        tail = taken.way.parts.tail
        if tail is None:
            if taken.way.parts.sends:
                taken.failure = f"{taken.failure}; the edge may not hold the whole model, so it cannot finish frames"
                return
            taken.outputs = dict(taken.held)
            return
        with self._turn(urgent=True):
            taken.times.local_start_s = self._clock()
            taken.outputs = self._slowly(lambda: tail(taken.held))
            taken.times.local_end_s = self._clock()

    def _head(self, taken: Taken) -> None:
        way = taken.way
        taken.held = way.parts.head(taken.frame.tensors)
        if not way.sends:
            return
        sent = way.parts.head.tensors.sent
        taken.codecs = {name: way.codecs[name] for name in sent if name in way.codecs}
        taken.payloads = {name: taken.held[name] for name in sent}
        for name, codec in taken.codecs.items():
            taken.payloads[name] = codec_registry.encode(codec, taken.held[name])

    @contextmanager
    def _turn(self, *, urgent: bool) -> Iterator[None]:
        with self._changed:
            self._urgent += urgent
            self._changed.wait_for(lambda: not self._busy and (urgent or not self._urgent))
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._urgent -= urgent
                self._changed.notify_all()

    def _slowly(self, work: Callable[[], Result]) -> Result:
        """Does the work, `slowdown` times over; what is left of a broken factor is waited."""
        started_s, times = self._clock(), int(self.slowdown)
        result = work()
        for _ in range(times - 1):
            work()
        if self.slowdown > times:
            self._sleep((self.slowdown / times - 1) * (self._clock() - started_s))
        return result
