"""Boxes in a detector's outputs, in pixels of its input.

Non-maximum suppression, greedy: boxes of a class in order of their confidence, each kept unless it overlaps one that
was kept before it by more than the allowed intersection over union.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.model.postprocess import Postprocess, detection_format

Floats = NDArray[np.float64]

# As many as anybody looks at; also bounds what a network that sees boxes everywhere can make us do.
MOST_DETECTIONS = 300
MOST_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes [n, 4] as left, top, right, bottom in pixels of the input, with confidences [n] and classes [n]."""

    corners: Floats
    confidence: Floats
    classes: NDArray[np.intp]

    def __getitem__(self, chosen: Any) -> Boxes:
        return Boxes(self.corners[chosen], self.confidence[chosen], self.classes[chosen])


def boxes_of(outputs: Mapping[str, NDArray[Any]], postprocess: Postprocess) -> Boxes | None:
    """What the first output that holds boxes says of one frame, the surest first; None if no output does."""
    for output in outputs.values():
        if postprocess.suppressed and output.ndim == 3 and output.shape[2] == 6:
            return _rows(output[0])
        if not postprocess.suppressed and detection_format(output.shape) is not None:
            boxes = decode(output[:1], postprocess.confidence)
            return boxes[suppress(boxes, postprocess.iou, most=MOST_DETECTIONS)]
    return None


def decode(output: NDArray[Any], confidence: float) -> Boxes:
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


def _rows(rows: NDArray[Any]) -> Boxes:
    """What a graph that suppresses itself found: rows of corners, confidence and class; those of zeros are none."""
    found = rows[rows[:, 4] > 0].astype(np.float64)
    return Boxes(found[:, :4], found[:, 4], found[:, 5].astype(np.intp))
