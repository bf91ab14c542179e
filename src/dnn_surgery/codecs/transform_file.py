"""What both sides of a transform codec hold, and its file (``.klt``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.codecs.streams import count
from dnn_surgery.errors import CodecError

Floats = NDArray[np.float32]
Counts = NDArray[np.uint16]

SUFFIX = ".klt"
LARGEST_SYMBOL = 4095
NOT_SENT = 255
"""The group of coefficients that are taken to be 0."""
FRAME_DIGEST_BYTES = 8

_MAGIC = b"DNNSKLT2"
_HEAD = struct.Struct("<8sI")
_LARGEST_CHANNELS, _LARGEST_ELEMENTS, _MOST_DIMENSIONS = 1 << 13, 1 << 26, 8


@dataclass(frozen=True, eq=False)
class TransformParameters:
    """What both sides of a transform codec hold.

    `shape`: the tensor's, less its batch: channels C, then positions. `mean` [C]; `forward` [C, C] takes a position's
    channels, less the mean, to coefficients in steps; `inverse` [C, C] takes them back. `blocks`: height and width of
    the blocks of positions that are transformed together. `groups` [C, high, wide]: the table of each coefficient of a
    block, or ``NOT_SENT``. `tables`: a row a group, how often each symbol from -L to L was seen, at least once each.
    `tensor` is the name of what was learnt from, `frames` the digests (``FRAME_DIGEST_BYTES`` each) of the calibration
    frames: what is proved on these proves nothing.

    Raises:
        CodecError: the parts do not belong together, or a number is not finite.
    """

    shape: tuple[int, ...]
    mean: Floats
    forward: Floats
    inverse: Floats
    blocks: tuple[int, int]
    groups: NDArray[np.uint8]
    tables: tuple[Counts, ...]
    tensor: str = ""
    frames: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        channels, height, width = planes_of(self.shape)
        shapes = [array.shape for array in (self.mean, self.forward, self.inverse, self.groups)]
        if shapes != [(channels,), (channels, channels), (channels, channels), (channels, *self.blocks)]:
            raise CodecError(f"parameters of a transform of shape {list(self.shape)} have shapes {shapes}")
        if min(self.blocks) < 1 or height % self.blocks[0] or width % self.blocks[1]:
            raise CodecError(f"blocks of {list(self.blocks)} do not divide {height} x {width} positions")
        if not all(np.isfinite(array).all() for array in (self.mean, self.forward, self.inverse)):
            raise CodecError("parameters of a transform are not finite")
        known = self.groups[self.groups != NOT_SENT]
        if not 1 <= len(self.tables) < NOT_SENT or (known.size and int(known.max()) >= len(self.tables)):
            raise CodecError(f"a transform with {len(self.tables)} tables names others, or none")
        for table in self.tables:
            if table.size % 2 == 0 or not 3 <= table.size <= 2 * LARGEST_SYMBOL + 1 or not table.all():
                raise CodecError("a transform has a symbol that cannot be written, or a table of a wrong size")
        if any(len(digest) != FRAME_DIGEST_BYTES for digest in self.frames):
            raise CodecError("a transform has a digest of a frame that is none")

    def to_bytes(self) -> bytes:
        """The file's content, little-endian: magic number and uint32 number of dimensions; uint32 sizes, block height
        and width, number of tables, entries of each, bytes of the tensor's name and number of frames; mean, forward,
        inverse as float32; groups as uint8; tables as uint16; the name in UTF-8; the frames' digests."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        name = self.tensor.encode()
        sizes = (len(self.tables), *(table.size for table in self.tables), len(name), len(self.frames))
        numbers = (*self.shape, *self.blocks, *sizes)
        return b"".join(
            (
                _HEAD.pack(_MAGIC, len(self.shape)),
                np.array(numbers, "<u4").tobytes(),
                *(np.ascontiguousarray(array, "<f4").tobytes() for array in (self.mean, self.forward, self.inverse)),
                np.ascontiguousarray(self.groups, np.uint8).tobytes(),
                *(np.ascontiguousarray(table, "<u2").tobytes() for table in self.tables),
                name,
                *self.frames,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> TransformParameters:
        """What :meth:`to_bytes` wrote.

        Raises:
            CodecError: the bytes are nothing of that kind.
        """
        reader = _Reader(data)
        shape = tuple(reader.numbers(reader.dimensions()).tolist())
        channels, _, _ = planes_of(shape)
        high, wide, tables = reader.numbers(3).tolist()
        if tables >= NOT_SENT or high * wide > _LARGEST_ELEMENTS:
            raise CodecError("parameters of a transform are damaged")
        sizes = reader.numbers(tables).tolist()
        name_bytes, frames = reader.numbers(2).tolist()
        square = channels * channels
        mean, forward, inverse = (reader.take("<f4", items).astype(np.float32) for items in (channels, square, square))
        groups = reader.take("u1", channels * high * wide).reshape(channels, high, wide)
        counts = tuple(reader.take("<u2", size).astype(np.uint16) for size in sizes)
        name, digests = reader.text(name_bytes), reader.digests(frames)
        reader.end()
        square_shape = (channels, channels)
        matrices = (forward.reshape(square_shape), inverse.reshape(square_shape))
        return cls(shape, mean, *matrices, (high, wide), groups, counts, name, digests)

    @classmethod
    def load(cls, path: str | Path) -> TransformParameters:
        """Reads a file of :meth:`save`.

        Raises:
            CodecError: the file cannot be read, or holds something else; the message names it.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except OSError as error:
            raise CodecError(f"cannot read the transform {path}: {error.strerror}") from error
        except CodecError as error:
            raise CodecError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Writes :meth:`to_bytes` to a file.

        Raises:
            CodecError: the file cannot be written.
        """
        try:
            Path(path).write_bytes(self.to_bytes())
        except OSError as error:
            raise CodecError(f"cannot write the transform {path}: {error.strerror}") from error


def planes_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a tensor's shape less its batch; one dimension of positions is a plane of width 1,
    of more than two all but the last are its height.

    Raises:
        CodecError: there are no positions, or too many channels or elements.
    """
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 1:
        raise CodecError(f"a transform needs channels and positions, got shape {list(shape)}")
    if shape[0] > _LARGEST_CHANNELS or count(shape) > _LARGEST_ELEMENTS:
        raise CodecError(f"a transform cannot be of shape {list(shape)}: too large")
    positions = shape[1:]
    return (shape[0], positions[0], 1) if len(positions) == 1 else (shape[0], count(positions[:-1]), positions[-1])


class _Reader:
    """Takes arrays off the front of a file; never more than is there."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def dimensions(self) -> int:
        if self._rest.nbytes < _HEAD.size:
            raise CodecError("parameters of a transform are truncated")
        magic, dimensions = _HEAD.unpack_from(self._rest)
        if magic != _MAGIC or dimensions > _MOST_DIMENSIONS:
            raise CodecError("no parameters of a transform")
        self._rest = self._rest[_HEAD.size :]
        return int(dimensions)

    def numbers(self, items: int) -> NDArray[np.int64]:
        return self.take("<u4", items).astype(np.int64)

    def take(self, dtype: str, items: int) -> NDArray[Any]:
        size_bytes = items * np.dtype(dtype).itemsize
        if size_bytes > self._rest.nbytes:
            raise CodecError("parameters of a transform are truncated")
        taken, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return np.frombuffer(taken, dtype)

    def text(self, size_bytes: int) -> str:
        try:
            return self.take("u1", size_bytes).tobytes().decode()
        except UnicodeDecodeError as error:
            raise CodecError("parameters of a transform have a name that is no text") from error

    def digests(self, items: int) -> tuple[bytes, ...]:
        data = self.take("u1", items * FRAME_DIGEST_BYTES).tobytes()
        return tuple(data[at : at + FRAME_DIGEST_BYTES] for at in range(0, len(data), FRAME_DIGEST_BYTES))

    def end(self) -> None:
        if self._rest.nbytes:
            raise CodecError("parameters of a transform have bytes too many")
