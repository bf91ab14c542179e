"""Pictures from files, and how any frame becomes the network's input."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dnn_surgery.errors import SourceError
from dnn_surgery.model.graph import Picture

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB, as read."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""What counts as a picture in a folder."""


def read_picture(path: Path) -> Pixels:
    """The picture upright (as its EXIF orientation says); grey becomes RGB, transparency is dropped.

    Raises:
        SourceError: there is no such file, or it is no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
                raise SourceError(f"{path}: pictures of more than 8 bits a channel ({upright.mode}) are not supported")
            return np.asarray(upright.convert("RGB"))
    except SourceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(f"{path}: too large a picture: more than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise SourceError(f"{path}: not a picture") from error
    except OSError as error:
        # With a number it is the system that refuses (permission, a folder); without, the picture is damaged.
        reason = error.strerror if error.errno else f"damaged picture: {error}"
        raise SourceError(f"{path}: {reason}") from error
    except Exception as error:
        # Pillow has no root for what damaged files make its parsers raise.
        raise SourceError(f"{path}: damaged picture: {error}") from error


def fit(pixels: Pixels, picture: Picture) -> Pixels:
    """A frame [H, W, 3] as the network's input [1, height, width, 3], bicubic, exactly as `picture` says.

    ``crop`` scales, keeping the ratio, until both sides reach their goal of `round(side / crop_fraction)` (for a square
    input: until the short side does) and cuts the input out of the centre. ``stretch`` scales each side by itself.

    Raises:
        SourceError: the frame is not uint8 [H, W, 3], or `picture` asks for what there is not.
    """
    check_pixels(pixels, "frame")
    if picture.fit not in ("crop", "stretch") or not 0 < picture.crop_fraction <= 1:
        raise SourceError(f"cannot fit a frame by {picture.fit!r} with a crop fraction of {picture.crop_fraction}")
    box = _crop_box(pixels.shape[1], pixels.shape[0], picture) if picture.fit == "crop" else None
    image = Image.fromarray(np.ascontiguousarray(pixels))
    resized = image.resize((picture.width, picture.height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)[np.newaxis]


def check_pixels(pixels: NDArray[np.generic], name: str) -> None:
    """Compares with what a frame is.

    Raises:
        SourceError: it is not uint8 [H, W, 3], or is empty.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise SourceError(f"{name}: expected uint8 [height, width, 3], got {pixels.dtype} {list(pixels.shape)}")


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
