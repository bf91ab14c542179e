"""The device's side: runs the head, has the cloud run the tail, and finishes a frame itself when the cloud cannot.

    frame -> head -> encode -> request ----> cloud
               |                                |
               | [1] keeps what it sent         v
               +----> local tail <-- [2] failure or answer --> result

[1] The edge holds the boundary tensors until the answer is here, so no frame is ever lost.
[2] After a failure frames stay at the edge, until a later frame tries the cloud again; the wait doubles each time.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dnn_surgery import codecs as codec_registry
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.errors import BusyError, InputError, SurgeryError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.pending import PendingReply

Clock = Callable[[], float]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """A frame as the model takes it: named arrays. `frame_size` is its own width and height, before it was fitted."""

    name: str
    tensors: Mapping[str, Array]
    frame_size: tuple[int, int] | None = None


@dataclass
class Retry:
    """When to try the cloud again: `first_s` after a failure, doubling up to `longest_s`."""

    first_s: float = 0.5
    longest_s: float = 8.0
    _wait_s: float = field(default=0.0, init=False)
    _at_s: float = field(default=0.0, init=False)

    def may_try(self, now_s: float) -> bool:
        """Whether the cloud is worth a try."""
        return self._wait_s == 0.0 or now_s >= self._at_s

    def failed(self, now_s: float, hint_s: float | None = None) -> None:
        """Puts the next try off; failures of requests that were under way together count once.

        A busy server's hint (`hint_s`) stands in for our own guess: half as much again at most, so that not all devices
        come back together.
        """
        if not self.may_try(now_s):
            return
        self._wait_s = min(max(self.first_s, 2 * self._wait_s), self.longest_s)
        if hint_s is not None:
            self._wait_s = hint_s * random.uniform(1.0, 1.5)
        self._at_s = now_s + self._wait_s

    def worked(self) -> None:
        """Back to normal."""
        self._wait_s = 0.0


@dataclass
class _Taken:
    """A frame between the head and its answer."""

    index: int
    name: str
    started_s: float
    edge_s: float
    held: dict[str, Array]
    pending: PendingReply | None = None
    failure: str | None = None
    frame_size: tuple[int, int] | None = None


class Edge:
    """Runs frames at one partition.

    Args:
        engine: what runs the edge's layers, and the rest when the cloud cannot.
        partition: the layers that run at the edge (a Plan's `edge`).
        client: the cloud; None keeps everything local.
        codecs: the codec of each boundary tensor that does not travel raw.
        deadline_s: how long the cloud may take for a frame before the edge finishes it.
        slowdown: emulates a slower device, which takes so many times as long to compute and encode: all that is done so
            many times over, since waiting instead would multiply what one cold run took.
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
        if not 1 <= slowdown < math.inf:
            raise InputError(f"an emulated slow-down must be at least 1, got {slowdown}")
        layers = tuple(partition)
        self.head, self.tail = Head(engine, layers), Tail(engine, layers)
        self.client = client
        self.codecs = {name: codec for name, codec in (codecs or {}).items() if codec != "raw"}
        self.deadline_s, self.slowdown = deadline_s, slowdown
        self.retry = retry or Retry()
        self._clock, self._sleep = clock, sleep
        self._count = 0

    def __call__(self, inputs: Mapping[str, Array], *, name: str = "") -> FrameResult:
        """One frame, from inputs to answer.

        Raises:
            TensorError: the inputs are not the model's.
        """
        return self._finish(self._start(NamedInputs(name, inputs)))

    def stream(self, frames: Iterable[NamedInputs], *, in_flight: int = 2) -> Iterator[FrameResult]:
        """Results in the order of the frames; while up to `in_flight` are on their way the edge computes the next one.

        Every frame taken from `frames` gets exactly one result, also when `frames` then raises. Errors as
        :meth:`__call__`.
        """
        waiting: deque[_Taken] = deque()
        source = iter(frames)
        failure: Exception | None = None
        while failure is None:
            try:
                waiting.append(self._start(next(source)))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised again once every frame taken in has its answer
                failure = error
            while waiting and (len(waiting) >= in_flight or _is_done(waiting[0])):
                yield self._finish(waiting.popleft())
        while waiting:
            yield self._finish(waiting.popleft())
        if failure is not None:
            raise failure

    def _start(self, frame: NamedInputs) -> _Taken:
        started_s = self._clock()
        held, payloads, used = self._slowly(lambda: self._run_head(frame))
        taken = _Taken(self._count, frame.name, started_s, self._clock() - started_s, held)
        taken.frame_size = frame.frame_size
        self._count += 1
        remaining = self.head.tensors.remaining
        if self.client is None or not remaining:
            return taken
        if not self.retry.may_try(self._clock()):
            taken.failure = "the cloud failed a moment ago"
            return taken
        try:
            taken.pending = self.client.infer_async(payloads, remaining, codecs=used, timeout_s=self.deadline_s)
        except SurgeryError as error:
            self._failed(taken, error)
        taken.edge_s = self._clock() - started_s
        return taken

    def _finish(self, taken: _Taken) -> FrameResult:
        if taken.pending is not None:
            try:
                reply = taken.pending.result()
            except SurgeryError as error:
                self._failed(taken, error)
            else:
                self.retry.worked()
                cloud_s = reply.queue_s + reply.compute_s
                made = {**taken.held, **reply.tensors}
                return FrameResult(
                    index=taken.index,
                    name=taken.name,
                    outputs={name: made[name] for name in self.tail.outputs},
                    finished_by="cloud",
                    # The answer may have been here for a while, until the frames before it had theirs.
                    latency_s=taken.edge_s + reply.elapsed_s,
                    edge_s=taken.edge_s,
                    transfer_s=max(0.0, reply.elapsed_s - cloud_s),
                    cloud_s=cloud_s,
                    sent_bytes=reply.bytes_up,
                    frame_size=taken.frame_size,
                )
        return self._finish_locally(taken)

    def _finish_locally(self, taken: _Taken) -> FrameResult:
        before_s = self._clock()
        outputs = self._slowly(lambda: self.tail(taken.held))
        now_s = self._clock()
        return FrameResult(
            index=taken.index,
            name=taken.name,
            outputs=outputs,
            finished_by="edge",
            latency_s=now_s - taken.started_s,
            edge_s=taken.edge_s,
            local_s=now_s - before_s,
            failure=taken.failure,
            frame_size=taken.frame_size,
        )

    def _failed(self, taken: _Taken, error: SurgeryError) -> None:
        taken.pending, taken.failure = None, str(error)
        self.retry.failed(self._clock(), error.retry_after_s if isinstance(error, BusyError) else None)

    def _run_head(self, frame: NamedInputs) -> tuple[dict[str, Array], dict[str, Any], dict[str, str]]:
        held = self.head(frame.tensors)
        return held, *self._encode(held)

    def _encode(self, held: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, str]]:
        """What goes on the wire: payloads of the tensors that have a codec, arrays of those that travel raw."""
        sent = self.head.tensors.sent
        used = {name: self.codecs[name] for name in sent if name in self.codecs}
        payloads: dict[str, Any] = {name: held[name] for name in sent}
        for name, codec in used.items():
            payloads[name] = codec_registry.encode(codec, held[name])
        return payloads, used

    def _slowly(self, work: Callable[[], Result]) -> Result:
        """Does the work, `slowdown` times over; what is left of a broken factor is waited."""
        started_s, times = self._clock(), int(self.slowdown)
        result = work()
        for _ in range(times - 1):
            work()
        if self.slowdown > times:
            self._sleep((self.slowdown / times - 1) * (self._clock() - started_s))
        return result


def _is_done(taken: _Taken) -> bool:
    return taken.pending is None or taken.pending.done()
