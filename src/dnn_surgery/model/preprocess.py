"""How a frame becomes what a network reads, for networks that do not say it themselves. Plain data.

    frame --fit (edge)--> uint8 picture [N, H, W, 3] RGB --stage of the graph--> float32 [N, 3, H, W] or [N, H, W, 3]

The stage is part of the graph, so that the uint8 picture is a tensor that can be sent, and so that both sides agree on
it: it changes the fingerprint. A front end puts it before the network as these operators, in this order, each left out
where it changes nothing: reverse the channels (``bgr``), transpose (``nchw``), cast to float32, multiply by `scale`,
subtract `mean`, divide by `std`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import Picture

FITS = ("crop", "stretch", "letterbox")
COLORS = ("rgb", "bgr")
LAYOUTS = ("nchw", "nhwc")
DEFAULT_SIDE = 224

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """`(picture * scale - mean) / std` for each channel, in the network's order of colours and layout.

    Args:
        resize: how a frame is fitted: ``crop``, ``stretch`` or ``letterbox`` (see :class:`Picture`).
        size: height and width in pixels; None takes what the network was made for, 224 where it does not say.
        scale: factor of the values 0 to 255.
        mean: of each channel, in the order that the network reads, of the scaled values.
        std: likewise.
        color: the order of channels that the network reads.
        layout: of what the network reads.

    Raises:
        ModelError: a value that there is not.
    """

    resize: str = "crop"
    size: tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    color: str = "rgb"
    layout: str = "nchw"

    def __post_init__(self) -> None:
        for key, value, known in (
            ("resize", self.resize, FITS),
            ("color", self.color, COLORS),
            ("layout", self.layout, LAYOUTS),
        ):
            if value not in known:
                raise ModelError(f"preprocess: {key} must be one of {', '.join(known)}, got {value!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ModelError(f"preprocess: size must be a height and a width of at least 1 pixel, got {self.size}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ModelError(f"preprocess: scale must be positive, got {self.scale}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise ModelError(f"preprocess: {key} must be three numbers, got {values}")
        if min(self.std) <= 0:
            raise ModelError(f"preprocess: std must be positive, got {self.std}")

    def sized_for(self, shape: Sequence[int | None] | None) -> Preprocess:
        """The same with a size: its own, else that of the input `shape` (four sizes, in `layout`), else 224 x 224.

        Raises:
            ModelError: the network's input is no picture in that layout, or of another size.
        """
        if shape is None:
            return self if self.size is not None else replace(self, size=(DEFAULT_SIDE, DEFAULT_SIDE))
        place = 1 if self.layout == "nchw" else 3
        if len(shape) != 4 or shape[place] not in (3, None):
            expected = "[N, 3, H, W]" if self.layout == "nchw" else "[N, H, W, 3]"
            raise ModelError(
                f"preprocess: layout {self.layout} needs an input {expected}, the model reads {list(shape)}"
            )
        sides = (shape[2], shape[3]) if self.layout == "nchw" else (shape[1], shape[2])
        size = tuple(
            wanted if side is None else side
            for wanted, side in zip(self.size or (DEFAULT_SIDE,) * 2, sides, strict=True)
        )
        if self.size is not None and self.size != size:
            raise ModelError(
                f"preprocess: size is {self.size[0]} x {self.size[1]}, the model reads {size[0]} x {size[1]}"
            )
        return replace(self, size=(size[0], size[1]))

    @property
    def picture(self) -> Picture:
        """The uint8 input that the graph then has.

        Raises:
            ModelError: no size is known yet; see :meth:`sized_for`.
        """
        if self.size is None:
            raise ModelError("preprocess: no size is known")
        return Picture(tensor="picture", height=self.size[0], width=self.size[1], fit=self.resize)
