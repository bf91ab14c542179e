"""What a codec is: a named way in which an array travels as bytes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import CodecError

Array = NDArray[Any]
Payload = bytes | bytearray | memoryview
Shape = Sequence[int | None]

_HOLDERS = {"bfloat16": "uint16"} | {
    name: name
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}


class Codec(ABC):
    """Turns arrays into bytes and back. Stateless and thread-safe.

    `id` names the codec on the wire and in files, for ever: the same id always reads the bytes that it once wrote, to
    the same array. Where a library writes the payload (zstandard, a picture's), another version of it may write other
    bytes for the same array; what never changes is what any version's bytes decode to.

    `lossless` says that ``decode(encode(array))`` equals the array, bit for bit, for every array the codec accepts.

    Payloads hold everything that decoding needs beside datatype and shape (a scale, say), which both sides know from
    the graph. Numbers in them are little-endian whatever the machine.

    A payload may come from anybody. Decoding one that the codec would not have written raises CodecError or gives some
    array of exactly the shape asked for; it never takes more memory than that array and the payload account for.
    """

    id: str
    lossless: bool

    @abstractmethod
    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether tensors of this datatype and shape (None: a size that varies) can travel in this way."""

    @abstractmethod
    def encode(self, array: Array) -> bytes:
        """The array, in any memory order, as bytes.

        Raises:
            CodecError: the codec does not accept such an array.
        """

    @abstractmethod
    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """The array of `dtype` and `shape` that the payload holds, in C order, maybe as a read-only view of it.

        `dtype` is numpy's name, or ``bfloat16``, which arrays hold as uint16. None in `shape`: told by the payload.

        Raises:
            CodecError: the codec would not have written this payload for such an array.
        """


def array_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type, of this machine's byte order, that holds `dtype`.

    Raises:
        CodecError: elements of that type cannot be sent (objects, texts, types that differ between machines).
    """
    if dtype not in _HOLDERS:
        raise CodecError(f"elements of datatype {dtype!r} cannot be sent, only {', '.join(_HOLDERS)}")
    return np.dtype(_HOLDERS[dtype])


def infer_shape(shape: Shape, elements: int) -> tuple[int, ...]:
    """The shape with its one None, if any, replaced so that it holds as many `elements`.

    Raises:
        CodecError: no such shape holds that many elements, or several do.
    """
    known = math.prod(size for size in shape if size is not None)
    unknown = sum(size is None for size in shape)
    if any(size is not None and size < 0 for size in shape) or unknown > 1 or (unknown and known == 0):
        raise CodecError(f"cannot tell the sizes of shape {show_shape(shape)} from {elements} elements")
    if elements != known and (not unknown or elements % known):
        raise CodecError(f"payload holds {elements} elements, expected shape {show_shape(shape)}")
    return tuple(elements // known if size is None else size for size in shape)


def show_shape(shape: Shape) -> str:
    """``[?, 3, 224, 224]``."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
