"""What became of one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from dnn_surgery.execution.engine import Array


@dataclass(slots=True)
class FrameTimes:
    """When what happened to a frame, on the edge's clock; 0 where it did not.

    `edge_*` is the head with encoding, `local_*` the edge finishing the frame. `sent_s`: the link began with it;
    `received_s`: word came that the server has it, half a round trip after it had; `replied_s`: the reply was here.
    """

    taken_s: float = 0.0
    edge_start_s: float = 0.0
    edge_end_s: float = 0.0
    sent_s: float = 0.0
    received_s: float = 0.0
    replied_s: float = 0.0
    local_start_s: float = 0.0
    local_end_s: float = 0.0

    @property
    def answered_s(self) -> float:
        """When the answer was here."""
        return self.local_end_s or self.replied_s or self.edge_end_s


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The answer to one frame, and what it took.

    `finished_by` says who ran the last layers; `failure` why the edge had to, where the cloud should have. It is
    ``nobody`` where the cloud failed and the edge may not hold the whole model: then there are no outputs. `edge_s` is
    computing (and encoding) up to the cut, `cloud_s` the server's queueing and computing (`compute_s` alone),
    `transfer_s` the rest of the call: both ways over the link, and waiting behind the frames before it. `local_s` is
    the edge finishing the frame. `latency_s` runs from taking the frame in until its answer is here. `sent_bytes` is
    the whole request. `frame_size` is the width and height of the frame itself, where it was said. `cut` is the name of
    the cut, `late` says that the frame's deadline passed, `source` where the frame is from, `times` when all happened.
    """

    index: int
    name: str
    outputs: Mapping[str, Array]
    finished_by: Literal["edge", "cloud", "nobody"]
    latency_s: float
    edge_s: float
    transfer_s: float = 0.0
    cloud_s: float = 0.0
    local_s: float = 0.0
    sent_bytes: int = 0
    failure: str | None = None
    frame_size: tuple[int, int] | None = None
    cut: str = ""
    source: str = ""
    late: bool = False
    compute_s: float = 0.0
    times: FrameTimes = field(default_factory=FrameTimes)


@dataclass(frozen=True, slots=True)
class Classification:
    """The likeliest class, its name where names are known, and its probability (0 to 1)."""

    class_index: int
    label: str
    confidence: float


def classify(outputs: Mapping[str, Array], labels: Sequence[str] | None) -> Classification | None:
    """The likeliest class of a classifier's only output, scores [1, classes]; None for any other model.

    Scores that are no probabilities (not from 0 to 1, or not 1 together) are made such by softmax.
    """
    if len(outputs) != 1:
        return None
    (scores,) = outputs.values()
    if scores.ndim != 2 or scores.shape[0] != 1 or not np.issubdtype(scores.dtype, np.floating):
        return None
    row = scores[0]
    best = int(row.argmax())
    confidence = float(row[best]) if _are_probabilities(row) else float(_softmax(row)[best])
    return Classification(best, label_of(best, labels), confidence)


def label_of(class_index: int, labels: Sequence[str] | None) -> str:
    """The class's name, or its number where it has none."""
    return labels[class_index] if labels is not None and class_index < len(labels) else str(class_index)


def _are_probabilities(row: Array) -> bool:
    # Half precision adds up to 1 within a thousandth only.
    return bool(row.min() >= 0 and row.max() <= 1 and abs(float(row.sum(dtype=np.float64)) - 1) < 1e-2)


def _softmax(row: Array) -> Array:
    raised: Array = np.exp(row.astype(np.float64) - float(row.max()))
    shares: Array = raised / raised.sum()
    return shares
