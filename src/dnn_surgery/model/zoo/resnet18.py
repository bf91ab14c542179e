"""ResNet-18: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016.

Modules with weights are named as torchvision names them, so that its weights file loads. A block's shortcut belongs
to the layer of its second convolution, which adds it.
"""

from __future__ import annotations

from torch import Tensor, nn

from dnn_surgery.model.normalisation import PictureInput
from dnn_surgery.model.zoo.entry import ZooEntry, imagenet_labels, imagenet_picture

# Channels of layer1 ... layer4; each has two blocks, and all but the first begin by halving the sides.
WIDTHS = (64, 128, 256, 512)
BLOCKS = 2


class AddShortcut(nn.Module):
    """The sum of a block and its shortcut, rectified: a module, so that the addition has a path to be grouped by."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, planes: Tensor, shortcut: Tensor) -> Tensor:
        """Both are `[N, C, H, W]`."""
        total: Tensor = self.relu(planes + shortcut)
        return total


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; `[N, channels, H, W]` to `[N, width, H / stride, W / stride]`."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential()
        if channels != width or stride != 1:
            self.downsample.append(nn.Conv2d(channels, width, kernel_size=1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(width))
        self.add = AddShortcut()

    def forward(self, planes: Tensor) -> Tensor:
        """`relu(block(planes) + shortcut(planes))`."""
        result = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(planes)))))
        total: Tensor = self.add(result, self.downsample(planes))
        return total


class ResNet18(nn.Module):
    """Pictures `[N, 224, 224, 3]` to probabilities `[N, classes]`; the sides of the planes are 56, 28, 14 and 7."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.input = PictureInput()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], stride=2)
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(WIDTHS[-1], classes)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Probabilities `[N, classes]`."""
        planes = self.maxpool(self.relu(self.bn1(self.conv1(self.input(picture)))))
        planes = self.layer4(self.layer3(self.layer2(self.layer1(planes))))
        scores: Tensor = self.softmax(self.fc(self.flatten(self.avgpool(planes))))
        return scores


def _stage(channels: int, width: int, *, stride: int) -> nn.Sequential:
    following = (BasicBlock(width, width, stride=1) for _ in range(BLOCKS - 1))
    return nn.Sequential(BasicBlock(channels, width, stride=stride), *following)


def layers() -> dict[str, tuple[str, ...]]:
    """17 convolutions (those of the shortcuts are not counted) and the last layer."""
    grouping = {"input": ("input",), "conv1": ("conv1", "bn1", "relu", "maxpool")}
    for stage in range(1, len(WIDTHS) + 1):
        for block in (f"layer{stage}.{index}" for index in range(BLOCKS)):
            grouping[f"{block}.conv1"] = tuple(f"{block}.{module}" for module in ("conv1", "bn1", "relu"))
            grouping[f"{block}.conv2"] = tuple(f"{block}.{module}" for module in ("conv2", "bn2", "downsample", "add"))
    grouping["fc"] = ("avgpool", "flatten", "fc", "softmax")
    return grouping


ENTRY = ZooEntry(
    name="resnet18",
    build=ResNet18,
    picture=imagenet_picture(),
    layers=layers(),
    classes=1000,
    labels=imagenet_labels(),
    paper_layers=20,
)
