"""VGG16: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, configuration D.

The modules are numbered as torchvision numbers them, so that its weights file loads. Its average pooling to 7 x 7 is
left out: at 224 x 224 the last pooling already gives 7 x 7.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from dnn_surgery.model.normalisation import PictureInput
from dnn_surgery.model.zoo.entry import ZooEntry, imagenet_labels, imagenet_picture

# Output channels of the 3 x 3 convolutions; a pooling ends each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """Pictures `[N, 224, 224, 3]` to probabilities `[N, classes]`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.input = PictureInput()
        features: list[nn.Module] = []
        channels = 3
        for block in BLOCKS:
            for width in block:
                features += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
                channels = width
            features.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*features)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            *(nn.Linear(channels * 7 * 7, 4096), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
            nn.Linear(4096, classes),
        )
        self.softmax = nn.Softmax(dim=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Probabilities `[N, classes]`."""
        features = self.features(self.input(picture))
        scores: Tensor = self.softmax(self.classifier(self.flatten(features)))
        return scores


def layers() -> dict[str, tuple[str, ...]]:
    """A convolution or pooling a layer; each takes the modules up to the next one along."""
    grouping: dict[str, tuple[str, ...]] = {"input": ("input",)}
    position = 0
    for block in BLOCKS:
        for _ in block:
            grouping[f"features.{position}"] = (f"features.{position}", f"features.{position + 1}")
            position += 2
        grouping[f"features.{position}"] = (f"features.{position}",)
        position += 1
    for start, end in pairwise((0, 3, 6, 7)):
        grouping[f"classifier.{start}"] = tuple(f"classifier.{index}" for index in range(start, end))
    # The flattening goes with the layer that needs it, so that the pooling's output is still a picture to a codec.
    grouping["classifier.0"] = ("flatten", *grouping["classifier.0"])
    grouping["softmax"] = ("softmax",)
    return grouping


ENTRY = ZooEntry(
    name="vgg16",
    build=VGG16,
    picture=imagenet_picture(),
    layers=layers(),
    classes=1000,
    labels=imagenet_labels(),
    paper_layers=24,
)
