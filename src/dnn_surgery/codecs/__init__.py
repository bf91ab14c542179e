"""How a tensor travels. A codec is found by its id, which is also what the wire and the files say.

raw: any array as it is. fp16: floats in half precision. intB, intBc (``int8``, ``int4c``): floats as integers of 3 to 8
bits, one range for all or one a channel. zstd, fp16+zstd, intB+zstd, intBc+zstd: these, compressed without loss.
klt-DIGEST: a learnt transform, once registered. png, webp-lossless: one RGB picture, lossless. jpegQ, jpegQ-444, webpQ
(``jpeg95``): one RGB picture at quality Q of 1 to 100.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape
from dnn_surgery.codecs.fp16 import Fp16
from dnn_surgery.codecs.integers import parse_integers
from dnn_surgery.codecs.picture import Png, WebpLossless, parse_jpeg, parse_webp
from dnn_surgery.codecs.raw import Raw
from dnn_surgery.codecs.streams import StreamCodec
from dnn_surgery.codecs.zstd import SUFFIX, Zstd
from dnn_surgery.errors import CodecError

__all__ = ["Array", "Codec", "Payload", "Shape", "decode", "encode", "get", "is_known", "register", "registered"]

_FIXED: dict[str, Codec] = {codec.id: codec for codec in (Raw(), Fp16(), Zstd(Raw()), Png(), WebpLossless())}
_FAMILIES: tuple[Callable[[str], Codec | None], ...] = (parse_integers, parse_jpeg, parse_webp)
_KNOWN = f"{', '.join(_FIXED)}, int3 to int8, int3c to int8c, these with {SUFFIX}, jpeg1 to 100, webp1 to 100"
_registered: dict[str, Codec] = {}


def register(codec: Codec) -> None:
    """Makes a learnt codec known in this process, to whoever names its id; once more does nothing."""
    _registered[codec.id] = codec


def registered() -> tuple[Codec, ...]:
    """The learnt codecs that this process knows."""
    return tuple(_registered.values())


def is_known(codec_id: str) -> bool:
    """Whether there is a codec of that id in this process."""
    try:
        get(codec_id)
    except CodecError:
        return False
    return True


def get(codec_id: str) -> Codec:
    """The codec of that id.

    Raises:
        CodecError: there is none.
    """
    return _registered.get(codec_id) or _built_in(codec_id)


@lru_cache(maxsize=256)
def _built_in(codec_id: str) -> Codec:
    if found := _find(codec_id):
        return found
    if codec_id.endswith(SUFFIX):
        inner = _find(codec_id.removesuffix(SUFFIX))
        # Raw has a name of its own when compressed: one id for one thing.
        if isinstance(inner, StreamCodec) and not isinstance(inner, Raw):
            return Zstd(inner)
    shown = codec_id if len(codec_id) <= 40 else codec_id[:40] + "..."
    raise CodecError(f"unknown codec {shown!r}: known are {_KNOWN}")


def _find(codec_id: str) -> Codec | None:
    if codec_id in _FIXED:
        return _FIXED[codec_id]
    return next((codec for parse in _FAMILIES if (codec := parse(codec_id))), None)


def encode(codec_id: str, array: Array) -> bytes:
    """The array as that codec writes it; see :meth:`Codec.encode`."""
    return get(codec_id).encode(array)


def decode(codec_id: str, payload: Payload, dtype: str, shape: Shape) -> Array:
    """The array that the payload holds; see :meth:`Codec.decode`."""
    return get(codec_id).decode(payload, dtype, shape)
