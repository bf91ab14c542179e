"""From a picture as it leaves the camera to the float32 tensor that a network reads, as a stage of the network itself.

So the picture (uint8, a quarter of the bytes) is a tensor of the graph that can be sent, like every other one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.pictures import example_pixels
from dnn_surgery.model.preprocess import Preprocess

# Of the pictures of ImageNet, RGB, for values from 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PictureInput(nn.Module):
    """uint8 `[N, H, W, 3]` RGB to float32 `[N, 3, H, W]`: `(picture / scale - mean) / std` for each channel.

    It has no parameters and its constants are not in the state dict, so weights files know nothing of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        scale: float = 255.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        # The device is named because networks are also built on torch's meta device, where constants have no values.
        for name, values in (("mean", mean), ("std", std)):
            constant = torch.tensor(values, dtype=torch.float32, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """The normalised picture, contiguous in NCHW order."""
        planes = picture.permute(0, 3, 1, 2).contiguous().to(torch.float32)
        if self.scale != 1.0:
            planes = planes / self.scale
        return (planes - self.mean) / self.std


class PreprocessStage(nn.Module):
    """uint8 `[N, H, W, 3]` RGB to float32 as a :class:`Preprocess` says. No parameters, nothing in the state dict."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess
        shape = (1, 3, 1, 1) if preprocess.layout == "nchw" else (1, 1, 1, 3)
        for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
            constant = torch.tensor(values, dtype=torch.float32, device="cpu").view(shape)
            self.register_buffer(name, constant, persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """What the network reads, contiguous."""
        does = self.preprocess
        values = picture.flip(3) if does.color == "bgr" else picture
        if does.layout == "nchw":
            values = values.permute(0, 3, 1, 2).contiguous()
        values = values.to(torch.float32)
        if does.scale != 1:
            values = values * does.scale
        if any(does.mean):
            values = values - self.mean
        return values if set(does.std) == {1.0} else values / self.std


def take_pictures(
    module: nn.Module,
    stage: nn.Module | None,
    *,
    then: nn.Module | None = None,
    names: tuple[str, str] = ("input", "then"),
) -> nn.Module:
    """The same module, its forward now `then(forward(input(picture)))`; both stages become its submodules, so named.

    A wrapper would put a prefix before the path of every module, and so before the name of every layer. Here the module
    stays the root: paths and the state dict's names are as before. Without a `stage` the module reads what it did.

    Raises:
        ModelError: the module already has something of that name.
    """
    for name, part in zip(names, (stage, then), strict=True):
        if part is not None and hasattr(module, name):
            raise ModelError(f"{type(module).__name__} has an attribute {name!r} of its own: return example_inputs too")
    # An instance may carry a forward of its own, put there by whoever patched it.
    own_forward = vars(module).pop("forward", None)
    base: type[nn.Module] = type(module)

    def forward(self: nn.Module, picture: Tensor) -> Any:
        read = picture if stage is None else self.get_submodule(names[0])(picture)
        result = base.forward(self, read) if own_forward is None else own_forward(read)
        return result if then is None else self.get_submodule(names[1])(result)

    module.__class__ = type(base.__name__, (base,), {"forward": forward, "__module__": base.__module__})
    if stage is not None:
        module.add_module(names[0], stage)
    if then is not None:
        module.add_module(names[1], then)
    return module


def example_picture(picture: Picture) -> Tensor:
    """:func:`dnn_surgery.model.pictures.example_pixels` as a tensor."""
    return torch.from_numpy(example_pixels(picture))
