"""Detectors whose every box is known: each cell of 16 x 16 pixels is a box, as sure as the cell is of a pure colour."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SIDE, CELL = 128, 16


class Cells(nn.Module):
    """float32 [N, 3, H, W] from 0 to 1, RGB, to [N, 4 + 3, cells] as YOLOv8 or [N, cells, 5 + 3] as YOLOv5."""

    def __init__(self, *, anchors_first: bool = False) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(CELL)
        self.anchors_first = anchors_first

    def forward(self, x: Tensor) -> Any:
        means = self.pool(x)
        others = torch.stack([means[:, [1, 2]].amax(1), means[:, [0, 2]].amax(1), means[:, [0, 1]].amax(1)], dim=1)
        scores = (means - others).clamp(min=0).flatten(2)
        rows, columns = torch.meshgrid(torch.arange(means.shape[2]), torch.arange(means.shape[3]), indexing="ij")
        middles = torch.stack([columns, rows]).flatten(1) * CELL + CELL / 2
        boxes = torch.cat([middles, torch.full_like(middles, CELL)]).expand(scores.shape[0], -1, -1)
        if not self.anchors_first:
            return torch.cat([boxes, scores], dim=1), scores
        seen = torch.ones_like(scores[:, :1])
        return torch.cat([boxes, seen, scores], dim=1).transpose(1, 2)


def like_yolov8() -> nn.Module:
    return Cells().eval()


def like_yolov5() -> tuple[nn.Module, Tensor]:
    return Cells(anchors_first=True).eval(), torch.zeros(1, 3, SIDE, SIDE)
