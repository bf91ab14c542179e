"""A frame on its way: as the model takes it, and all that is known of it until its answer is out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dnn_surgery.edge.result import FrameResult, FrameTimes
from dnn_surgery.edge.way import Way
from dnn_surgery.errors import DeadlineError, SurgeryError
from dnn_surgery.execution.engine import Array
from dnn_surgery.protocol.pending import InferenceReply, PendingReply


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """A frame as the model takes it: named arrays. `frame_size` is its own width and height, before it was fitted.

    `source` is the name of its source, where there are several. `taken_s` is when it was taken in, on
    `time.perf_counter`; None: when the edge asked for it.
    """

    name: str
    tensors: Mapping[str, Array]
    frame_size: tuple[int, int] | None = None
    source: str = ""
    taken_s: float | None = None


@dataclass(eq=False)
class Taken:
    """A frame between its source and its answer. Times are the edge's clock.

    `held` are the tensors the edge keeps until the answer is here, `payloads` what is sent of them with `codecs`.
    `failure` says why the edge has to finish it, `error` the same as an error where a call failed.
    """

    index: int
    frame: NamedInputs
    way: Way
    times: FrameTimes
    held: dict[str, Array] = field(default_factory=dict)
    payloads: dict[str, Any] = field(default_factory=dict)
    codecs: dict[str, str] = field(default_factory=dict)
    pending: PendingReply | None = None
    reply: InferenceReply | None = None
    error: SurgeryError | None = None
    failure: str | None = None
    outputs: dict[str, Array] | None = None
    done: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole request; 0 before it is sent."""
        return self.pending.bytes_up if self.pending is not None else 0

    def result(self) -> FrameResult:
        """What became of it, once it is answered, here or there, or given up."""
        times, reply = self.times, self.reply
        by_cloud = reply is not None
        cloud_s = reply.queue_s + reply.compute_s if reply is not None else 0.0
        return FrameResult(
            index=self.index,
            name=self.frame.name,
            source=self.frame.source,
            cut=self.way.parts.name,
            outputs=self.outputs or {},
            finished_by="cloud" if by_cloud else "nobody" if self.outputs is None else "edge",
            latency_s=times.answered_s - times.taken_s,
            edge_s=times.edge_end_s - times.edge_start_s,
            transfer_s=max(0.0, reply.elapsed_s - cloud_s) if reply is not None else 0.0,
            cloud_s=cloud_s,
            local_s=times.local_end_s - times.local_start_s,
            sent_bytes=reply.bytes_up if reply is not None else 0,
            failure=None if by_cloud else self.failure,
            compute_s=reply.compute_s if reply is not None else 0.0,
            late=isinstance(self.error, DeadlineError),
            frame_size=self.frame.frame_size,
            times=times,
        )
