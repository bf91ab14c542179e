"""How a frame is fitted to a network's input, and the way back from the input's pixels to the frame's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import SourceError
from dnn_surgery.model.graph import Picture

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

# What YOLO networks were trained to see around a picture.
LETTERBOX_GREY = 114


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a frame of `width` x `height` pixels stands in the input.

    `shown` is the part of the frame that the input shows, in the frame's pixels; `place` the pixels of the input in
    which it stands: all of them, except in a letterbox.
    """

    width: int
    height: int
    shown: Box
    place: tuple[int, int, int, int]

    def to_frame(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes [n, 4] (left, top, right, bottom) of the input in the frame's pixels, cut off at the frame's edges."""
        left, top, right, bottom = self.place
        across = (self.shown[2] - self.shown[0]) / (right - left)
        down = (self.shown[3] - self.shown[1]) / (bottom - top)
        factor = np.array([across, down, across, down])
        moved = (boxes - np.array([left, top, left, top])) * factor + np.array(self.shown[:2] * 2)
        limits = np.array([self.width, self.height, self.width, self.height], dtype=np.float64)
        inside: NDArray[np.float64] = np.clip(moved, 0, limits)
        return inside


def placement(width: int, height: int, picture: Picture) -> Placement:
    """Where a frame of this size goes, as `picture` says; see :class:`Picture` for the three ways.

    Raises:
        SourceError: `picture` asks for what there is not.
    """
    whole, everywhere = (0.0, 0.0, float(width), float(height)), (0, 0, picture.width, picture.height)
    if picture.fit == "stretch":
        return Placement(width, height, whole, everywhere)
    if picture.fit == "letterbox":
        return Placement(width, height, whole, _inside(width, height, picture))
    if picture.fit == "crop" and 0 < picture.crop_fraction <= 1:
        return Placement(width, height, _crop_box(width, height, picture), everywhere)
    raise SourceError(f"cannot fit a frame by {picture.fit!r} with a crop fraction of {picture.crop_fraction}")


def _inside(width: int, height: int, picture: Picture) -> tuple[int, int, int, int]:
    """The largest part of the input that has the frame's ratio, in its middle; at least one pixel a side."""
    scale = min(picture.width / width, picture.height / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (picture.width - across) // 2, (picture.height - down) // 2
    return left, top, left + across, top + down


def _crop_box(width: int, height: int, picture: Picture) -> tuple[float, float, float, float]:
    """What part of the frame the input shows: left, top, right, bottom in the frame's pixels.

    Resizing this box gives what resizing the frame and then cropping gives, without the pixels that would be cut off,
    of which a long and narrow frame has any number.
    """
    goal_width, goal_height = (
        round(picture.width / picture.crop_fraction),
        round(picture.height / picture.crop_fraction),
    )
    if width * goal_height >= height * goal_width:
        scaled_width, scaled_height = width * goal_height // height, goal_height
    else:
        scaled_width, scaled_height = goal_width, height * goal_width // width
    left, top = round((scaled_width - picture.width) / 2), round((scaled_height - picture.height) / 2)
    across, down = width / scaled_width, height / scaled_height
    # min: a last bit too much in the product would lie outside of the frame.
    right, bottom = min((left + picture.width) * across, width), min((top + picture.height) * down, height)
    return left * across, top * down, right, bottom
