"""What a detector found, in words and in the frame's own pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnn_surgery.edge.fitting import Box, Placement
from dnn_surgery.edge.result import label_of
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.boxes import Floats, boxes_of
from dnn_surgery.model.postprocess import Postprocess


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found: its class, how sure that is (0 to 1), and left, top, right, bottom in the frame's pixels."""

    class_index: int
    label: str
    confidence: float
    box: Box


def detect(
    outputs: Mapping[str, Array],
    postprocess: Postprocess,
    labels: Sequence[str] | None,
    placement: Placement | None,
) -> tuple[Detection, ...] | None:
    """What the first output that holds boxes says of one frame, the surest first; None if no output does.

    Boxes are in the frame's pixels as `placement` says, without it in the input's.
    """
    found = boxes_of(outputs, postprocess)
    if found is None:
        return None
    corners = found.corners if placement is None else placement.to_frame(found.corners)
    return tuple(
        Detection(int(index), label_of(int(index), labels), float(sure), _box(box))
        for index, sure, box in zip(found.classes, found.confidence, corners, strict=True)
    )


def _box(corners: Floats) -> Box:
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom
