"""Pictures from files, and how any frame becomes the network's input."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dnn_surgery.edge.fitting import LETTERBOX_GREY, placement
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
    ``letterbox`` scales, keeping the ratio, until the frame is just inside, and fills the rest with grey.

    Raises:
        SourceError: the frame is not uint8 [H, W, 3], or `picture` asks for what there is not.
    """
    check_pixels(pixels, "frame")
    where = placement(pixels.shape[1], pixels.shape[0], picture)
    left, top, right, bottom = where.place
    image = Image.fromarray(np.ascontiguousarray(pixels))
    resized = np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=where.shown))
    if picture.fit != "letterbox":
        return resized[np.newaxis]
    filled = np.full((1, picture.height, picture.width, 3), LETTERBOX_GREY, dtype=np.uint8)
    filled[0, top:bottom, left:right] = resized
    return filled


def check_pixels(pixels: NDArray[np.generic], name: str) -> None:
    """Compares with what a frame is.

    Raises:
        SourceError: it is not uint8 [H, W, 3], or is empty.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise SourceError(f"{name}: expected uint8 [height, width, 3], got {pixels.dtype} {list(pixels.shape)}")
