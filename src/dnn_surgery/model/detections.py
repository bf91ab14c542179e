"""Suppression as the last layer of a detector: a few kB come back where its raw output is megabytes.

Non-maximum suppression keeps a box unless one that is kept, of its class, more confident and overlapping too much,
suppresses it. As a graph has no loops, that is solved as a fixed point. With S[i, j] = 1 where box i would suppress box
j, in order of confidence:

    kept[j] = no i with kept[i] and S[i, j]

Starting from all boxes, n steps decide rightly on every box that stands at the end of chains of at most n boxes, each
of which would suppress the next. Steps are right in turn from above and below: after an even number of them no box is
lost that should stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dnn_surgery.errors import ModelError
from dnn_surgery.model.postprocess import CANDIDATES, DETECTIONS, Postprocess, detection_format, show_formats

# Chains in real pictures are a handful of boxes long.
STEPS = 32


class Detections(nn.Module):
    """A YOLO network's raw output to [N, up to 100, 6]; see :class:`Postprocess` for the columns."""

    def __init__(self, postprocess: Postprocess) -> None:
        super().__init__()
        self.confidence, self.iou = postprocess.confidence, postprocess.iou

    def forward(self, result: Any) -> Tensor:
        """The first result that holds boxes, suppressed.

        Raises:
            ModelError: none does.
        """
        raw = _boxes_among(result)
        if detection_format(raw.shape) == "boxes-first":
            rows = raw.transpose(1, 2)
            scores = rows[..., 4:]
        else:
            rows = raw
            scores = rows[..., 5:] * rows[..., 4:5]
        confidence, classes = scores.max(dim=-1)
        # topk rather than a sort: other engines have it too, and it is far cheaper.
        confidence, order = confidence.topk(min(CANDIDATES, rows.shape[1]), dim=-1)
        boxes = corners(rows[..., :4].gather(1, order.unsqueeze(-1).expand(-1, -1, 4)))
        classes = classes.gather(1, order)
        kept = self._kept(boxes, classes) * (confidence >= self.confidence)
        best, places = (confidence * kept).topk(min(DETECTIONS, confidence.shape[1]), dim=-1)
        columns = torch.cat([boxes, classes.unsqueeze(-1).to(boxes.dtype)], dim=-1)
        chosen = columns.gather(1, places.unsqueeze(-1).expand(-1, -1, 5))
        found = (best > 0).unsqueeze(-1).to(boxes.dtype)
        return torch.cat([chosen[..., :4] * found, best.unsqueeze(-1), chosen[..., 4:] * found], dim=-1)

    def _kept(self, boxes: Tensor, classes: Tensor) -> Tensor:
        """1 for each box [N, K] that stays, else 0."""
        same = classes.unsqueeze(-1) == classes.unsqueeze(-2)
        suppresses = ((overlaps(boxes) > self.iou) & same).to(boxes.dtype).triu(diagonal=1)
        kept = torch.ones_like(boxes[..., 0])
        for _ in range(STEPS):
            kept = (torch.bmm(kept.unsqueeze(1), suppresses).squeeze(1) == 0).to(boxes.dtype)
        return kept


def corners(boxes: Tensor) -> Tensor:
    """Centre and sides [..., 4] to left, top, right, bottom."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def overlaps(boxes: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes [N, K, 4]: [N, K, K]."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)
    return shared / (area[:, :, None] + area[:, None, :] - shared).clamp(min=1e-9)


def _boxes_among(result: Any) -> Tensor:
    for value in _leaves(result):
        if isinstance(value, Tensor) and detection_format(value.shape) is not None:
            return value
    shapes = ", ".join(str(list(value.shape)) for value in _leaves(result) if isinstance(value, Tensor))
    raise ModelError(f"postprocess: task detect needs an output {show_formats()}, the model makes {shapes or 'none'}")


def _leaves(result: Any) -> Iterator[Any]:
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        for value in result:
            yield from _leaves(value)
    else:
        yield result
