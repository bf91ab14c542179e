"""Tiny YOLOv2: the small network of Redmon and Farhadi, YOLO9000: Better, Faster, Stronger, for Pascal VOC.

288 x 288 pixels, as the sizes in the DADS paper's figure 1 tell. The output is the grid as the network makes it, five
boxes a cell, each with its place, its confidence and its classes; which boxes stay is decided after it.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from dnn_surgery.model.graph import Picture
from dnn_surgery.model.normalisation import PictureInput
from dnn_surgery.model.zoo.entry import ZooEntry

BOXES = 5
# Output channels of the 3 x 3 convolutions conv1 ... conv8.
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 1024)
HALVING_POOLS = 5


class TinyYOLOv2(nn.Sequential):
    """Pictures `[N, 288, 288, 3]` to a grid `[N, 5 (5 + classes), 9, 9]`."""

    def __init__(self, classes: int) -> None:
        modules: dict[str, nn.Module] = {"input": PictureInput(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))}
        channels = 3
        for number, width in enumerate(WIDTHS, start=1):
            modules[f"conv{number}"] = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
            modules[f"norm{number}"] = nn.BatchNorm2d(width)
            modules[f"leaky{number}"] = nn.LeakyReLU(0.1)
            if number <= HALVING_POOLS:
                modules[f"max{number}"] = nn.MaxPool2d(kernel_size=2, stride=2)
            elif number == HALVING_POOLS + 1:
                # The size stays: the last row and column stand in for the neighbours that they lack.
                modules[f"pad{number}"] = nn.ReplicationPad2d((0, 1, 0, 1))
                modules[f"max{number}"] = nn.MaxPool2d(kernel_size=2, stride=1)
            channels = width
        modules[f"conv{len(WIDTHS) + 1}"] = nn.Conv2d(channels, BOXES * (5 + classes), kernel_size=1)
        super().__init__(OrderedDict(modules))

    def forward(self, picture: Tensor) -> Tensor:
        """The grid `[N, 5 (5 + classes), 9, 9]`."""
        planes = picture
        for module in self:
            planes = module(planes)
        return planes


def layers() -> dict[str, tuple[str, ...]]:
    """Convolution, batch norm and leaky ReLU are one layer; a pooling is one."""
    grouping: dict[str, tuple[str, ...]] = {"input": ("input",)}
    for number in range(1, len(WIDTHS) + 1):
        grouping[f"conv{number}"] = (f"conv{number}", f"norm{number}", f"leaky{number}")
        if number <= HALVING_POOLS + 1:
            grouping[f"max{number}"] = (f"pad{number}", f"max{number}")
    grouping[f"conv{len(WIDTHS) + 1}"] = (f"conv{len(WIDTHS) + 1}",)
    return grouping


ENTRY = ZooEntry(
    name="tiny_yolov2",
    build=TinyYOLOv2,
    picture=Picture(tensor="picture", height=288, width=288, fit="stretch"),
    layers=layers(),
    classes=20,
    labels=None,
    paper_layers=17,
)
