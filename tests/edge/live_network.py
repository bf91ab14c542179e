"""A classifier of pictures that is worth splitting: small tensors late, and some milliseconds of computing before."""

from __future__ import annotations

import torch
from torch import nn

SIZE = 96


class Funnel(nn.Module):
    """uint8 [N, 96, 96, 3] -> probabilities [N, 10]; 27 kB in, then 147, 74, 74, 37, 9 kB."""

    example_inputs = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU())
        self.narrow = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU())
        self.think = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU())
        self.classes = nn.Linear(64 * 36, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        x = picture.permute(0, 3, 1, 2).to(torch.float32) / 255
        x = self.think(self.narrow(self.widen(x)))
        x = self.last(self.deep(x))
        return self.classes(x.flatten(1)).softmax(1)


def build() -> nn.Module:
    torch.manual_seed(0)
    return Funnel().eval()
