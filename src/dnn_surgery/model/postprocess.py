"""What a network's output means. Plain data; the answers themselves are made where they are wanted, at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dnn_surgery.errors import ModelError

TASKS = ("classify", "detect", "none")
DetectionFormat = Literal["boxes-first", "anchors-first"]

# Where a graph suppresses itself, the most confident boxes compete, and the best of those that stay are given back.
# Frames with more are rare enough.
CANDIDATES, DETECTIONS = 512, 100


@dataclass(frozen=True, slots=True)
class Postprocess:
    """`task`: ``classify`` (one label), ``detect`` (boxes) or ``none`` (the arrays as they are).

    `confidence`: boxes below it are dropped. `iou`: of two boxes of a class that overlap by more (intersection over
    union), the less confident one is dropped. `suppressed`: the graph does both itself, and its output is
    [N, detections, 6]: left, top, right, bottom in pixels of the input, confidence, class; rows of zeros at the end.

    Raises:
        ModelError: a value that there is not.
    """

    task: str = "none"
    confidence: float = 0.25
    iou: float = 0.7
    suppressed: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ModelError(f"postprocess: task must be one of {', '.join(TASKS)}, got {self.task!r}")
        for key, value in (("confidence", self.confidence), ("iou", self.iou)):
            if not 0 < value <= 1:
                raise ModelError(f"postprocess: {key} must be above 0 and at most 1, got {value}")


def detection_format(shape: Sequence[int | None]) -> DetectionFormat | None:
    """How an output of this shape holds boxes; None if it does not look like a YOLO network's.

    ``boxes-first``: [N, 4 + classes, anchors], as of YOLOv8: centre x, centre y, width, height, a score for each class.
    ``anchors-first``: [N, anchors, 5 + classes], as of YOLOv5: the same, with the score that there is anything before
    those of the classes. There are always more anchors than values to one of them.
    """
    if len(shape) != 3:
        return None
    _, first, second = shape
    if first is None or second is None:
        # What varies with the picture's size are the anchors.
        if first is not None and first >= 5:
            return "boxes-first"
        return "anchors-first" if second is not None and second >= 6 else None
    if 5 <= first < second:
        return "boxes-first"
    return "anchors-first" if 6 <= second < first else None


def show_formats() -> str:
    """For error messages."""
    return "[N, 4 + classes, anchors] as of YOLOv8 or [N, anchors, 5 + classes] as of YOLOv5"
