"""How a tensor travels. A codec is found by its id, which is also what the wire and the files say.

raw: any array as it is. png: one RGB picture, lossless. jpegQ (``jpeg95``): one RGB picture at quality Q of 1 to 100.
"""

from __future__ import annotations

from functools import lru_cache

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape
from dnn_surgery.codecs.picture import Png, parse_jpeg
from dnn_surgery.codecs.raw import Raw
from dnn_surgery.errors import CodecError

__all__ = ["Array", "Codec", "Payload", "Shape", "decode", "encode", "get"]

_FIXED: dict[str, Codec] = {codec.id: codec for codec in (Raw(), Png())}
_FAMILIES = (parse_jpeg,)


@lru_cache(maxsize=256)
def get(codec_id: str) -> Codec:
    """The codec of that id.

    Raises:
        CodecError: there is none.
    """
    if codec_id in _FIXED:
        return _FIXED[codec_id]
    for parse in _FAMILIES:
        if codec := parse(codec_id):
            return codec
    shown = codec_id if len(codec_id) <= 40 else codec_id[:40] + "..."
    raise CodecError(f"unknown codec {shown!r}: known are {', '.join(_FIXED)} and jpeg1 to jpeg100")


def encode(codec_id: str, array: Array) -> bytes:
    """The array as that codec writes it; see :meth:`Codec.encode`."""
    return get(codec_id).encode(array)


def decode(codec_id: str, payload: Payload, dtype: str, shape: Shape) -> Array:
    """The array that the payload holds; see :meth:`Codec.decode`."""
    return get(codec_id).decode(payload, dtype, shape)
