"""Pictures as JPEG, WebP or PNG: uint8 tensors of shape [1, height, width, 3], RGB."""

from __future__ import annotations

import io
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape, show_shape
from dnn_surgery.codecs.picture_files import check_jpeg, check_png, check_webp, check_webp_lossless
from dnn_surgery.errors import CodecError

_OVERHEAD_BYTES = 4096  # headers and tables; what a tiny picture takes beside its pixels
_LONGEST_SIDE = 65_500  # libjpeg's own limit
_LONGEST_WEBP_SIDE = 16_383  # 14 bits in its header
# Against 6, Pillow's own: half the time (14 ms instead of 31 for 224x224) for 1.5 % more bytes.
_PNG_LEVEL = 3


class PictureCodec(Codec):
    """What JPEG, WebP and PNG share. `_check` looks at a file's outline before Pillow does: see `picture_files`."""

    _format: str
    _check: Callable[..., None]

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether this is one RGB picture of known height and width (the batch may vary: it is 1)."""
        return dtype == "uint8" and len(shape) == 4 and shape[0] in (1, None) and shape[3] == 3 and _sized(shape)

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        if array.shape[:1] != (1,) or not self.accepts(array.dtype.name, array.shape):
            raise CodecError(
                f"{self.id} takes an RGB picture, uint8 [1, height, width, 3], "
                f"got {array.dtype} {show_shape(array.shape)}"
            )
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(array[0])).save(buffer, self._format, **self._options())
        return buffer.getvalue()

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`."""
        if not self.accepts(dtype, shape):
            raise CodecError(f"{self.id} gives uint8 [1, height, width, 3], expected {dtype} {show_shape(shape)}")
        height, width = int(shape[1] or 0), int(shape[2] or 0)
        data = bytes(payload)
        # Even noise at the best quality stays far below twice its pixels.
        if len(data) > 2 * height * width * 3 + _OVERHEAD_BYTES:
            raise CodecError(f"{self.id} payload of {len(data)} bytes is too long for shape {show_shape(shape)}")
        type(self)._check(data, width=width, height=height)
        try:
            with Image.open(io.BytesIO(data), formats=(self._format,)) as image:
                pixels = np.asarray(image)
        except Exception as error:
            # Pillow has no root for what damaged files make its parsers raise, from SyntaxError to zlib.error.
            raise CodecError(f"{self.id} payload is no readable picture: {error}") from error
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise CodecError(f"{self.id} payload gives {pixels.dtype} {show_shape(pixels.shape)}")
        return pixels[np.newaxis]

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """What Pillow's writer is told."""


class Jpeg(PictureCodec):
    """``jpeg1`` to ``jpeg100``: baseline JPEG of that quality, chroma halved both ways; ``jpeg1-444`` to
    ``jpeg100-444``: chroma as it is, which keeps more answers for its bytes at high qualities."""

    lossless = False
    _format = "JPEG"
    _check = staticmethod(check_jpeg)

    def __init__(self, quality: int, *, full_chroma: bool = False) -> None:
        if not 1 <= quality <= 100:
            raise CodecError(f"jpeg quality must be 1 to 100, got {quality}")
        self.id = f"jpeg{quality}{'-444' if full_chroma else ''}"
        self._quality, self._subsampling = quality, "4:4:4" if full_chroma else "4:2:0"

    def _options(self) -> dict[str, Any]:
        # Huffman tables of the picture's own: 4 to 6 % fewer bytes for half a millisecond (224x224).
        return {"quality": self._quality, "subsampling": self._subsampling, "optimize": True}


class Webp(PictureCodec):
    """``webp1`` to ``webp100``: lossy WebP of that quality, of the thoroughness (4 of 6) that is Pillow's own."""

    lossless = False
    _format = "WEBP"
    _check = staticmethod(check_webp)

    def __init__(self, quality: int) -> None:
        if not 1 <= quality <= 100:
            raise CodecError(f"webp quality must be 1 to 100, got {quality}")
        self.id = f"webp{quality}"
        self._quality = quality

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """As every picture, with sides of at most 16383."""
        return super().accepts(dtype, shape) and all((side or 0) <= _LONGEST_WEBP_SIDE for side in shape[1:3])

    def _options(self) -> dict[str, Any]:
        return {"quality": self._quality, "method": 4}


class WebpLossless(Webp):
    """``webp-lossless``: the same pixels back in two thirds of a PNG's bytes, for several times its time."""

    lossless = True
    _check = staticmethod(check_webp_lossless)

    def __init__(self) -> None:
        self.id = "webp-lossless"

    def _options(self) -> dict[str, Any]:
        # Against method 3: 2 % more bytes in two thirds of the time.
        return {"lossless": True, "quality": 0, "method": 1}


class Png(PictureCodec):
    """``png``: the same pixels back."""

    id = "png"
    lossless = True
    _format = "PNG"
    _check = staticmethod(check_png)

    def _options(self) -> dict[str, Any]:
        return {"compress_level": _PNG_LEVEL}


def parse_jpeg(codec_id: str) -> Jpeg | None:
    """The codec named ``jpegQ`` or ``jpegQ-444``, Q from 1 to 100 without leading zeros, or None."""
    match = re.fullmatch(r"jpeg([1-9][0-9]?|100)(-444)?", codec_id, re.ASCII)
    return Jpeg(int(match.group(1)), full_chroma=match.group(2) is not None) if match else None


def parse_webp(codec_id: str) -> Webp | None:
    """The codec named ``webpQ``, Q from 1 to 100 without leading zeros, or None."""
    match = re.fullmatch(r"webp([1-9][0-9]?|100)", codec_id, re.ASCII)
    return Webp(int(match.group(1))) if match else None


def _sized(shape: Shape) -> bool:
    return all(size is not None and 0 < size <= _LONGEST_SIDE for size in shape[1:3])
