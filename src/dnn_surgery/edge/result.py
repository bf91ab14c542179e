"""What became of one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dnn_surgery.execution.engine import Array


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The answer to one frame, and what it took.

    `finished_by` says who ran the last layers; `failure` why the edge had to, where the cloud should have. `edge_s` is
    computing (and encoding) up to the cut, `cloud_s` the server's queueing and computing, `transfer_s` the rest of the
    call: both ways over the link, and waiting behind the frames before it. `local_s` is the edge finishing the frame.
    `latency_s` runs from taking the frame in until its answer is here. `sent_bytes` is the whole request.
    """

    index: int
    name: str
    outputs: Mapping[str, Array]
    finished_by: Literal["edge", "cloud"]
    latency_s: float
    edge_s: float
    transfer_s: float = 0.0
    cloud_s: float = 0.0
    local_s: float = 0.0
    sent_bytes: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """The likeliest class, its name where names are known, and its probability (0 to 1)."""

    class_index: int
    label: str
    confidence: float


def classify(outputs: Mapping[str, Array], labels: Sequence[str] | None) -> Classification | None:
    """The likeliest class of a classifier's only output, probabilities [1, classes]; None for any other model."""
    if len(outputs) != 1:
        return None
    (scores,) = outputs.values()
    if scores.ndim != 2 or scores.shape[0] != 1 or not np.issubdtype(scores.dtype, np.floating):
        return None
    best = int(scores[0].argmax())
    label = labels[best] if labels is not None and best < len(labels) else str(best)
    return Classification(best, label, float(scores[0, best]))
