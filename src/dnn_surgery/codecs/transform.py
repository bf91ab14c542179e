"""A learnt transform of the channels, one step for all, entropy coded: ``klt-DIGEST``.

    x [N, C, ...] --minus mean, times forward [C, C]--> y --round, saturate--> symbols --range coder, a table each-->

What is learnt (mean, matrices, tables) is many times larger than a payload, so both sides hold it as a file, and the id
names the file's content by its SHA-256: a receiver that holds something else does not know the id, and no payload can
be read with the wrong parameters. How they are learnt: :mod:`dnn_surgery.calibration.learning`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape, show_shape
from dnn_surgery.codecs.streams import count, refuse, sizes_of
from dnn_surgery.errors import CodecError

_MAGIC = b"DNNSKLT1"
_HEAD = struct.Struct("<8sII")
_LARGEST_CHANNELS, _LARGEST_SYMBOL = 1 << 13, 127

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TransformParameters:
    """What both sides of a transform codec hold.

    `mean` [C]; `forward` [C, C] takes a position's channels, less the mean, to its coefficients in steps; `inverse`
    [C, C] takes them back; `counts` [C, 2 L + 1] say how often each symbol from -L to L was seen, at least once each.

    Raises:
        CodecError: the shapes do not belong together, or a number is not finite.
    """

    mean: Floats
    forward: Floats
    inverse: Floats
    counts: NDArray[np.uint16]

    def __post_init__(self) -> None:
        channels, symbols = self.mean.size, self.counts.shape[-1]
        shapes = [array.shape for array in (self.mean, self.forward, self.inverse, self.counts)]
        if shapes != [(channels,), (channels, channels), (channels, channels), (channels, symbols)]:
            raise CodecError(f"parameters of a transform have shapes {shapes}")
        if not 0 < channels <= _LARGEST_CHANNELS or symbols % 2 == 0 or not 3 <= symbols <= 2 * _LARGEST_SYMBOL + 1:
            raise CodecError(f"a transform cannot have {channels} channels and {symbols} symbols")
        if not all(np.isfinite(array).all() for array in (self.mean, self.forward, self.inverse)):
            raise CodecError("parameters of a transform are not finite")
        if not self.counts.all():
            raise CodecError("a transform has a symbol that cannot be written: its count is 0")

    def to_bytes(self) -> bytes:
        """The file's content: magic number, uint32 C and symbols a channel, the four arrays, little-endian."""
        arrays = (self.mean, self.forward, self.inverse)
        return b"".join(
            (
                _HEAD.pack(_MAGIC, self.mean.size, self.counts.shape[1]),
                *(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays),
                np.ascontiguousarray(self.counts, "<u2").tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> TransformParameters:
        """What :meth:`to_bytes` wrote.

        Raises:
            CodecError: the bytes are nothing of that kind.
        """
        if len(data) < _HEAD.size:
            raise CodecError("parameters of a transform are truncated")
        magic, channels, symbols = _HEAD.unpack_from(data)
        floats = channels + 2 * channels * channels
        if magic != _MAGIC or len(data) != _HEAD.size + 4 * floats + 2 * channels * symbols:
            raise CodecError("no parameters of a transform, or not whole")
        values = np.frombuffer(data, "<f4", floats, _HEAD.size).astype(np.float32)
        mean, forward, inverse = np.split(values, [channels, channels + channels * channels])
        counts = np.frombuffer(data, "<u2", channels * symbols, _HEAD.size + 4 * floats).astype(np.uint16)
        square = (channels, channels)
        return cls(mean, forward.reshape(square), inverse.reshape(square), counts.reshape(channels, symbols))

    @classmethod
    def load(cls, path: str | Path) -> TransformParameters:
        """Reads a file of :meth:`to_bytes`.

        Raises:
            CodecError: the file cannot be read, or holds something else.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except OSError as error:
            raise CodecError(f"cannot read the transform {path}: {error.strerror}") from error


class Transform(Codec):
    """``klt-`` and the first 16 hex digits of the SHA-256 of its parameters. To be registered on both sides.

    A payload is a CRC-32 (of the number of positions as uint32, and what follows) and the words of constriction's range
    coder, channel by channel: the strongest first. Values saturate at the largest symbol; NaN becomes the mean. The
    products are of float32, whose last bits depend on the machine's matrix kernels: symbols near a rounding edge may
    differ by one between encoders, arrays by float32's own precision between decoders.

    Args:
        parameters: what was learnt.

    Raises:
        CodecError: the extra ``codecs`` is not installed.
    """

    lossless = False

    def __init__(self, parameters: TransformParameters) -> None:
        self.parameters = parameters
        self.channels = parameters.mean.size
        self.id = "klt-" + hashlib.sha256(parameters.to_bytes()).hexdigest()[:16]
        self._stream: Any = _constriction()
        self._takes = f"float32 or float64 of {self.channels} channels, the second of 3 or more dimensions"

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether these are floats with as many channels, second."""
        return dtype in ("float32", "float64") and len(shape) >= 3 and shape[1] == self.channels

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        if not self.accepts(array.dtype.name, array.shape):
            raise refuse(self, array.dtype.name, array.shape, self._takes)
        symbols = self._symbols(array)
        encoder = self._stream.queue.RangeEncoder()
        for row, model in zip(symbols, self._models, strict=True):
            encoder.encode(row, model)
        words: bytes = encoder.get_compressed().astype("<u4").tobytes() if symbols.size else b""
        return struct.pack("<I", _checksum(words, symbols.shape[1])) + words

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`. Every size of `shape` must be known."""
        sizes = sizes_of(shape)
        if not self.accepts(dtype, sizes):
            raise refuse(self, dtype, sizes, self._takes)
        view = memoryview(payload).cast("B")
        positions = count(sizes) // self.channels
        # A symbol takes at most 24 bits of the coder's precision.
        if view.nbytes < 4 or view.nbytes % 4 or view.nbytes > 3 * count(sizes) + 16:
            raise CodecError(f"{self.id} payload of {view.nbytes} bytes cannot be of shape {show_shape(shape)}")
        if struct.unpack("<I", view[:4])[0] != _checksum(view[4:], positions):
            raise CodecError(f"{self.id} payload is damaged: its checksum is wrong")
        symbols = self._read(view[4:], positions)
        values = self.parameters.inverse @ (symbols.astype(np.float32) - self._limit)
        values += self.parameters.mean[:, np.newaxis]
        arranged = values.reshape(self.channels, sizes[0], *sizes[2:]).swapaxes(0, 1)
        return np.ascontiguousarray(arranged, dtype=dtype)

    @property
    def _limit(self) -> int:
        """The largest symbol."""
        return int(self.parameters.counts.shape[1]) // 2

    @cached_property
    def _models(self) -> tuple[Any, ...]:
        """A table a channel."""
        counts = self.parameters.counts.astype(np.float64)
        shares = counts / counts.sum(axis=1, keepdims=True)
        return tuple(self._stream.model.Categorical(row, perfect=False) for row in shares)

    def _symbols(self, array: Array) -> NDArray[np.int32]:
        """Symbols from 0 on, [C, positions]."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(array.swapaxes(0, 1), dtype=np.float32).reshape(self.channels, -1)
            values = values - self.parameters.mean[:, np.newaxis]
            if not np.isfinite(values).all():
                values = np.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)
            steps = np.rint(self.parameters.forward @ values)
        steps = np.clip(np.nan_to_num(steps, nan=0.0), -self._limit, self._limit)
        symbols: NDArray[np.int32] = steps.astype(np.int32) + np.int32(self._limit)
        return symbols

    def _read(self, words: memoryview, positions: int) -> NDArray[np.int32]:
        if positions == 0:
            if words.nbytes:
                raise CodecError(f"{self.id} payload holds words for an empty array")
            return np.zeros((self.channels, 0), np.int32)
        compressed = np.frombuffer(words, "<u4").astype(np.uint32)
        try:
            decoder = self._stream.queue.RangeDecoder(compressed)
            rows = [decoder.decode(model, positions) for model in self._models]
        except Exception as error:
            # What a stranger's words make the library raise is not told; whatever it is, the payload is to blame.
            raise CodecError(f"{self.id} payload cannot be decoded: {error}") from error
        return np.stack(rows)


def _checksum(words: bytes | memoryview, positions: int) -> int:
    """The coder reads any words as something: this tells a payload that is damaged or of another shape."""
    return zlib.crc32(words, zlib.crc32(struct.pack("<I", positions)))


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise CodecError("a transform codec needs constriction: pip install 'dnn-surgery[codecs]'") from error
    return constriction.stream
