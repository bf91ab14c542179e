"""Boxes from a detector's output, in the frame's own pixels.

Non-maximum suppression, greedy: boxes of a class in order of their confidence, each kept unless it overlaps one that
was kept before it by more than the allowed intersection over union.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.edge.fitting import Box, Placement
from dnn_surgery.edge.result import label_of
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.postprocess import Postprocess, detection_format

Floats = NDArray[np.float64]

# As many as anybody looks at; also bounds what a network that sees boxes everywhere can make us do.
MOST_DETECTIONS = 300
MOST_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found: its class, how sure that is (0 to 1), and left, top, right, bottom in the frame's pixels."""

    class_index: int
    label: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes [n, 4] as left, top, right, bottom in pixels of the input, with confidences [n] and classes [n]."""

    corners: Floats
    confidence: Floats
    classes: NDArray[np.intp]

    def __getitem__(self, chosen: Any) -> Boxes:
        return Boxes(self.corners[chosen], self.confidence[chosen], self.classes[chosen])


def detect(
    outputs: Mapping[str, Array],
    postprocess: Postprocess,
    labels: Sequence[str] | None,
    placement: Placement | None,
) -> tuple[Detection, ...] | None:
    """What the first output that holds boxes says of one frame, the surest first; None if no output does.

    Boxes are in the frame's pixels as `placement` says, without it in the input's.
    """
    for output in outputs.values():
        if postprocess.suppressed and output.ndim == 3 and output.shape[2] == 6:
            found = _rows(output[0])
        elif not postprocess.suppressed and detection_format(output.shape) is not None:
            boxes = decode(output[:1], postprocess.confidence)
            found = boxes[suppress(boxes, postprocess.iou, most=MOST_DETECTIONS)]
        else:
            continue
        corners = found.corners if placement is None else placement.to_frame(found.corners)
        return tuple(
            Detection(int(index), label_of(int(index), labels), float(sure), _box(box))
            for index, sure, box in zip(found.classes, found.confidence, corners, strict=True)
        )
    return None


def decode(output: Array, confidence: float) -> Boxes:
    """The boxes of a raw output of one frame (see :func:`detection_format`) that are at least so sure, surest first."""
    values = output[0].astype(np.float64)
    if detection_format(output.shape) == "boxes-first":
        rows = values.T
        scores = rows[:, 4:]
    else:
        rows = values
        scores = rows[:, 5:] * rows[:, 4:5]
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(rows)), classes]
    # Stable: among equally sure boxes the order is that of the anchors. NaN is never sure enough.
    order = np.argsort(-best, kind="stable")
    order = order[best[order] >= confidence][:MOST_CANDIDATES]
    middle, half = rows[order, :2], rows[order, 2:4] / 2
    return Boxes(np.concatenate([middle - half, middle + half], axis=1), best[order], classes[order])


def suppress(boxes: Boxes, iou: float, *, most: int | None = None) -> NDArray[np.intp]:
    """The numbers of the boxes that stay (of the first `most` of them), of boxes that are in order of confidence."""
    kept: list[int] = []
    waiting = np.arange(len(boxes.confidence))
    while len(waiting) and len(kept) != most:
        first, others = waiting[0], waiting[1:]
        kept.append(int(first))
        covered = (overlaps(boxes.corners[first], boxes.corners[others]) > iou) & (
            boxes.classes[others] == boxes.classes[first]
        )
        waiting = others[~covered]
    return np.array(kept, dtype=np.intp)


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box [4] with each of others [n, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(min=0).prod(axis=1)
    area, areas = (box[2:] - box[:2]).clip(min=0).prod(), (others[:, 2:] - others[:, :2]).clip(min=0).prod(axis=1)
    ratio: Floats = shared / np.maximum(area + areas - shared, 1e-9)
    return ratio


def _rows(rows: Array) -> Boxes:
    """What a graph that suppresses itself found: rows of corners, confidence and class; those of zeros are none."""
    found = rows[rows[:, 4] > 0].astype(np.float64)
    return Boxes(found[:, :4], found[:, 4], found[:, 5].astype(np.intp))


def _box(corners: Floats) -> Box:
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom
