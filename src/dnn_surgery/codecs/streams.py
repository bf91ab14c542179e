"""Codecs whose payload is a row of streams, so that a lossless codec can work on each stream by itself.

A stream is a run of little-endian elements of one width, such as the scales or the symbols of a quantised tensor. What
stands in one stream is alike, which is what makes it compress.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape, show_shape
from dnn_surgery.errors import CodecError


@dataclass(frozen=True, slots=True)
class Stream:
    """How much a stream holds: `elements` of `width_bytes` each."""

    elements: int
    width_bytes: int


class StreamCodec(Codec):
    """A codec that can lay its payload open. ``join(split(array))`` is what ``decode(encode(array))`` is.

    The streams need not be the payload's very bytes: symbols of 6 bits are packed in the payload but lie one to a byte
    in their stream, since a compressor finds nothing in values that do not begin at a byte.
    """

    @abstractmethod
    def layout(self, dtype: str, shape: Sequence[int]) -> tuple[Stream, ...]:
        """The sizes of the streams of such an array.

        Raises:
            CodecError: the codec does not accept such an array.
        """

    @abstractmethod
    def split(self, array: Array) -> tuple[bytes, ...]:
        """The streams of an array, each as long as the layout says.

        Raises:
            CodecError: the codec does not accept such an array.
        """

    @abstractmethod
    def join(self, streams: Sequence[Payload], dtype: str, shape: Sequence[int]) -> Array:
        """The array that streams, each as long as the layout says, stand for.

        Raises:
            CodecError: `split` would not have written them.
        """


def sizes_of(shape: Shape) -> tuple[int, ...]:
    """The shape, which has to name every size: the payload does not tell it.

    Raises:
        CodecError: a size is unknown or negative.
    """
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) < len(shape) or any(size < 0 for size in sizes):
        raise CodecError(f"every size must be known to decode, got shape {show_shape(shape)}")
    return sizes


def count(shape: Sequence[int]) -> int:
    """Elements of an array of that shape."""
    return math.prod(shape)


def refuse(codec: Codec, dtype: str, shape: Shape, takes: str) -> CodecError:
    """The error that says what the codec takes and what came."""
    return CodecError(f"{codec.id} takes {takes}, got {dtype} {show_shape(shape)}")


def check_size(codec: Codec, payload: Payload, expected_bytes: int, shape: Shape) -> memoryview:
    """The payload as bytes, if it is as long as it has to be.

    Raises:
        CodecError: it is not.
    """
    view = memoryview(payload).cast("B")
    if view.nbytes != expected_bytes:
        raise CodecError(
            f"{codec.id} payload of {view.nbytes} bytes, expected {expected_bytes} for shape {show_shape(shape)}"
        )
    return view
