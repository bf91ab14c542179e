"""Network in Network for ImageNet: Lin, Chen and Yan, 2014.

A layer "conv" is what that paper calls an mlpconv: a convolution and, at every position, a small perceptron of two
1 x 1 convolutions. There is no fully connected layer: the planes of the last one are averaged, one plane a class.
"""

from __future__ import annotations

from torch import Tensor, nn

from dnn_surgery.model.normalisation import PictureInput
from dnn_surgery.model.zoo.entry import ZooEntry, imagenet_labels, imagenet_picture


class MLPConv(nn.Sequential):
    """A convolution and two 1 x 1 convolutions, each with a ReLU."""

    def __init__(
        self, channels: int, widths: tuple[int, int, int], *, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        first, second, third = widths
        super().__init__(
            *(nn.Conv2d(channels, first, kernel_size, stride, padding), nn.ReLU()),
            *(nn.Conv2d(first, second, kernel_size=1), nn.ReLU()),
            *(nn.Conv2d(second, third, kernel_size=1), nn.ReLU()),
        )


class NiN(nn.Module):
    """Pictures `[N, 224, 224, 3]` to probabilities `[N, classes]`; the sides of the planes are 54, 27, 13 and 6."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.input = PictureInput()
        self.conv1 = MLPConv(3, (96, 96, 96), kernel_size=11, stride=4)
        self.max1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv2 = MLPConv(96, (256, 256, 256), kernel_size=5, padding=2)
        self.max2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv3 = MLPConv(256, (384, 384, 384), kernel_size=3, padding=1)
        self.max3 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.dropout = nn.Dropout()
        self.conv4 = MLPConv(384, (1024, 1024, classes), kernel_size=3, padding=1)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.softmax = nn.Softmax(dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Probabilities `[N, classes]`."""
        planes = self.max1(self.conv1(self.input(picture)))
        planes = self.max3(self.conv3(self.max2(self.conv2(planes))))
        scores: Tensor = self.softmax(self.flatten(self.average(self.conv4(self.dropout(planes)))))
        return scores


LAYERS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("input", "conv1", "max1", "conv2", "max2", "conv3", "max3")},
    "conv4": ("dropout", "conv4", "average", "flatten", "softmax"),
}

ENTRY = ZooEntry(
    name="nin",
    build=NiN,
    picture=imagenet_picture(),
    layers=LAYERS,
    classes=1000,
    labels=imagenet_labels(),
    paper_layers=9,
)
