"""AlexNet in two towers: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, 2012.

The sizes are that paper's, a tower being what one of its two GPUs held. There the towers also meet at the third
convolution and at the fully connected layers; the DADS paper draws them apart up to the last layer, as they are here.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from dnn_surgery.model.normalisation import PictureInput
from dnn_surgery.model.zoo.entry import ZooEntry, imagenet_labels, imagenet_picture

# The modules of each layer of a tower, beside the one of the same name.
TOWER_LAYERS = {
    "conv1": ("relu1", "norm1"),
    "max1": (),
    "conv2": ("relu2", "norm2"),
    "max2": (),
    "conv3": ("relu3",),
    "conv4": ("relu4",),
    "conv5": ("relu5",),
    "max5": (),
    "fc6": ("flatten", "relu6", "dropout6"),
    "fc7": ("relu7", "dropout7"),
}


class JoinedLinear(nn.Linear):
    """A fully connected layer that reads two vectors `[N, n]` as one `[N, 2 n]`."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]  # two inputs are its purpose
        """Scores `[N, out_features]`."""
        return super().forward(torch.cat([first, second], dim=1))


class AlexNet(nn.Module):
    """Pictures `[N, 224, 224, 3]` to probabilities `[N, classes]`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.input = PictureInput()
        self.tower1 = tower()
        self.tower2 = tower()
        self.fc = JoinedLinear(2 * 2048, classes)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Probabilities `[N, classes]`."""
        planes = self.input(picture)
        scores: Tensor = self.softmax(self.fc(self.tower1(planes), self.tower2(planes)))
        return scores


def tower() -> nn.Sequential:
    """`[N, 3, 224, 224]` to `[N, 2048]`; the sides of the planes are 55, 27, 13 and 6."""
    modules: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 48, kernel_size=11, stride=4, padding=2),
        "relu1": nn.ReLU(),
        "norm1": response_norm(),
        "max1": nn.MaxPool2d(kernel_size=3, stride=2),
        "conv2": nn.Conv2d(48, 128, kernel_size=5, padding=2),
        "relu2": nn.ReLU(),
        "norm2": response_norm(),
        "max2": nn.MaxPool2d(kernel_size=3, stride=2),
        "conv3": nn.Conv2d(128, 192, kernel_size=3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(192, 192, kernel_size=3, padding=1),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(192, 128, kernel_size=3, padding=1),
        "relu5": nn.ReLU(),
        "max5": nn.MaxPool2d(kernel_size=3, stride=2),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(128 * 6 * 6, 2048),
        "relu6": nn.ReLU(),
        "dropout6": nn.Dropout(),
        "fc7": nn.Linear(2048, 2048),
        "relu7": nn.ReLU(),
        "dropout7": nn.Dropout(),
    }
    return nn.Sequential(OrderedDict(modules))


def response_norm() -> nn.LocalResponseNorm:
    """The 2012 paper's k = 2, n = 5, alpha = 1e-4, beta = 0.75; torch divides alpha by n, the paper does not."""
    return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0)


def layers() -> dict[str, tuple[str, ...]]:
    """Ten layers a tower, and the one that joins them."""
    grouping: dict[str, tuple[str, ...]] = {"input": ("input",)}
    for name in ("tower1", "tower2"):
        for layer, followers in TOWER_LAYERS.items():
            grouping[f"{name}.{layer}"] = tuple(f"{name}.{module}" for module in (layer, *followers))
    grouping["fc"] = ("fc", "softmax")
    return grouping


ENTRY = ZooEntry(
    name="alexnet",
    build=AlexNet,
    picture=imagenet_picture(),
    layers=layers(),
    classes=1000,
    labels=imagenet_labels(),
    paper_layers=23,
)
