"""A small classifier of pictures, a factory for `serve` and `run`, with its weights drawn from a seed."""

from __future__ import annotations

import torch
from torch import nn

SIZE = 32


class SmallPictures(nn.Module):
    """uint8 [N, 32, 32, 3] -> probabilities [N, 10]."""

    example_inputs = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
        self.classes = nn.Linear(8, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        x = picture.permute(0, 3, 1, 2).to(torch.float32) / 255
        x = self.second(self.first(x)).mean((2, 3))
        return self.classes(x).softmax(1)


def build() -> nn.Module:
    return _seeded(0)


def build_other() -> nn.Module:
    return _seeded(1)


def _seeded(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return SmallPictures().eval()
