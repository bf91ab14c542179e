"""What the zoo says of a network. Plain data: reading it builds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.model.graph import Picture

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A network of the zoo.

    `build` takes the number of classes and returns a module that reads uint8 pictures `[N, H, W, 3]`; its layer names
    and the modules that make up each stand in `layers`. `paper_layers` is the number that the DADS paper counts (its
    list ends with an output that computes nothing and has no uint8 picture, ours the other way round, so the numbers
    are equal); None for networks that are not in it. `weights` finds trained weights that are installed with a package.
    """

    name: str
    build: Callable[[int], nn.Module]
    picture: Picture
    layers: Mapping[str, tuple[str, ...]]
    classes: int
    labels: tuple[str, ...] | None
    paper_layers: int | None
    weights: Callable[[], Path] | None = None


def imagenet_picture() -> Picture:
    """224 x 224: the middle of the picture, whose short side was made 256 long."""
    return Picture(tensor="picture", height=224, width=224, fit="crop", crop_fraction=0.875)


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 classes of ImageNet, in the order in which networks number them."""
    text = files("dnn_surgery.model.zoo").joinpath("imagenet.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
