"""Runs frames, each on the way that is chosen for it: alone, or as a stream through three stages at once.

    edge thread:  source -> room? -> choose -> head, encode --+--> uplink (one tensor set at a time) --> cloud
                                                              |                                            |
    consumer:     result <-- in order <-- [2] finished here <-+-- [1] holds what it sent <--- answer or failure

[1] The edge holds the boundary tensors until the answer is here, so no frame is ever lost.
[2] What the cloud failed at, or what is not to be sent; finishing a frame goes before beginning the next one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from typing import Protocol

from dnn_surgery.edge.device import Clock, Device
from dnn_surgery.edge.flow import Flow
from dnn_surgery.edge.frame import NamedInputs, Taken
from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.edge.result import FrameResult, FrameTimes
from dnn_surgery.edge.retry import Retry
from dnn_surgery.edge.uplink import Uplink
from dnn_surgery.edge.way import Way
from dnn_surgery.errors import BusyError, SurgeryError
from dnn_surgery.execution.engine import Array
from dnn_surgery.protocol.client import InferenceClient

A_MOMENT_AGO = "the cloud failed a moment ago"

# Beside the frames that latency / bottleneck asks for: one that is computed here, and one that waits for the link.
_BEFORE_LINK = 2
_MOST_IN_FLIGHT = 64

_JOIN_S = 1.0


class Chooser(Protocol):
    """Says which way each frame goes, and learns from what became of it."""

    def choose(self, lost: str | None) -> Way:
        """The way of the next frame; `lost` is why the cloud cannot be used now."""

    def finished(self, taken: Taken) -> None:
        """A frame has its answer."""


class Runner:
    """Runs frames on one device and, where their way says so, one cloud.

    Args:
        chooser: says which way each frame goes.
        device: what computes here.
        client: the cloud; None keeps everything local.
        watch: what is known of the link.
        retry: when single frames (not streams) try the cloud again after a failure.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        chooser: Chooser,
        device: Device,
        *,
        client: InferenceClient | None = None,
        watch: LinkWatch | None = None,
        retry: Retry | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.chooser, self.device, self.client = chooser, device, client
        self.watch = watch or LinkWatch(clock=clock)
        self.retry = retry or Retry()
        self._clock = clock
        self._count = 0

    def __call__(self, inputs: Mapping[str, Array], *, name: str = "") -> FrameResult:
        """One frame, from inputs to answer.

        Raises:
            TensorError: the inputs are not the model's.
        """
        lost = None if self.retry.may_try(self._clock()) else A_MOMENT_AGO
        taken = self._begin(NamedInputs(name, inputs), lost)
        if not taken.done:
            self._ask(taken)
        return self._result(taken)

    def stream(
        self, frames: Iterable[NamedInputs], *, in_flight: int | None = None
    ) -> Generator[FrameResult, None, None]:
        """Results in the order of the frames. Edge, link and cloud each work on another frame meanwhile.

        Every frame taken from `frames` gets exactly one result, also when `frames` then raises. At most `in_flight` are
        without an answer at a time; by default as many as the stages need to be busy all the time. `frames` is read in
        a thread of its own. Errors as :meth:`__call__`.
        """
        flow = Flow()
        with ExitStack() as stack:
            uplink = None
            if self.client is not None:
                uplink = stack.enter_context(Uplink(self.client, self.watch, flow.done))
            edge = threading.Thread(
                target=self._take_all, args=(frames, flow, uplink, in_flight), name="dnn-surgery-edge", daemon=True
            )
            edge.start()
            try:
                while (taken := flow.oldest()) is not None:
                    result = self._result(taken)
                    flow.answered()
                    yield result
            finally:
                flow.close()
                edge.join(timeout=_JOIN_S)  # it may be waiting for a frame, and then ends with the source
        if flow.failure is not None:
            raise flow.failure

    def _take_all(
        self, frames: Iterable[NamedInputs], flow: Flow, uplink: Uplink | None, in_flight: int | None
    ) -> None:
        source, limit = iter(frames), in_flight or 1
        failure: Exception | None = None
        try:
            while flow.wait_for_room(limit):
                try:
                    frame = next(source)
                except StopIteration:
                    break
                taken = self._begin(frame, self.watch.lost if uplink is not None else None)
                flow.add(taken)
                if in_flight is None:
                    limit = _in_flight(taken.way)
                if taken.done or uplink is None:
                    flow.done(taken)
                else:
                    uplink.put(taken)
        except Exception as error:  # noqa: BLE001 - raised again once every frame taken in has its answer
            failure = error
        flow.end(failure)

    def _begin(self, frame: NamedInputs, lost: str | None) -> Taken:
        """Takes a frame in and runs its head; it is done where nothing is left for the cloud."""
        now_s = self._clock()
        way = self.chooser.choose(lost)
        taken = Taken(self._count, frame, way, FrameTimes(taken_s=now_s if frame.taken_s is None else frame.taken_s))
        self.device.begin(taken)
        self._count += 1
        if self.client is not None and way.sends:
            return taken
        taken.done = True
        if way.parts.sends:
            taken.failure = way.obstacle
            self.device.finish(taken)
        else:
            taken.outputs = {name: taken.held[name] for name in way.parts.outputs}
        return taken

    def _result(self, taken: Taken) -> FrameResult:
        if taken.reply is not None:
            taken.outputs = {**taken.held, **taken.reply.tensors}
            taken.outputs = {name: taken.outputs[name] for name in taken.way.parts.outputs}
            self.retry.worked()
        elif taken.outputs is None and taken.error is not None:
            hint_s = taken.error.retry_after_s if isinstance(taken.error, BusyError) else None
            self.retry.failed(self._clock(), hint_s)
            self.device.finish(taken)
        self.chooser.finished(taken)
        return taken.result()

    def _ask(self, taken: Taken) -> None:
        """Has the cloud finish a single frame, and waits."""
        if self.client is None:
            return
        taken.times.sent_s = self._clock()
        try:
            taken.pending = self.client.infer_async(
                taken.payloads,
                taken.way.parts.head.tensors.remaining,
                codecs=taken.codecs,
                timeout_s=taken.way.deadline_s,
            )
            reply = taken.pending.result()
        except SurgeryError as error:
            taken.error, taken.failure = error, str(error)
            return
        taken.reply, taken.times.replied_s = reply, self._clock()
        self.watch.transferred(reply.bytes_up, max(0.0, reply.elapsed_s - reply.queue_s - reply.compute_s), idle_s=1.0)


def _in_flight(way: Way) -> int:
    """How many frames keep all stages busy: by Little's law latency / bottleneck, and those before the link."""
    plan = way.predicted
    if plan is None or not way.sends:
        return 1 + _BEFORE_LINK
    return min(_MOST_IN_FLIGHT, math.ceil(plan.latency_s / max(plan.bottleneck_s, 1e-4)) + _BEFORE_LINK)
