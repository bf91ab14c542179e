"""Floats as integers of 8 down to 3 bits, spread evenly between the least and the greatest value.

``int8`` ... ``int3``: one range for the whole array; ``int8c`` ... ``int3c``: one for each channel (axis 1) of each
picture. A payload is the ranges, as pairs of bfloat16 (least, greatest), and then the symbols, packed without gaps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.codecs.base import Array, Payload, Shape
from dnn_surgery.codecs.bits import pack, packed_bytes, unpack
from dnn_surgery.codecs.streams import Stream, StreamCodec, check_size, count, refuse, sizes_of
from dnn_surgery.errors import CodecError

_DTYPES = ("float16", "float32", "float64")
# The widest range whose difference and whose bounds, rounded outwards, are still numbers of 32 bits.
_LARGEST = np.float32(1.6e38)
# A step below this has no inverse of 32 bits; all values of such a range are as good as equal.
_SMALLEST_STEP = np.float32(1e-37)
_RANGE_BYTES = 4

Floats = NDArray[np.float32]


class Integers(StreamCodec):
    """``intB`` and ``intBc``: ``symbol = round((x - least) / step)``, ``step = (greatest - least) / (2^B - 1)``.

    The error is at most half a step for values within the range. Values beyond 1.6e38, infinities among them, become
    the end of the range that is nearer; NaN becomes what of the range is nearest to 0. The range is of the finite
    values, rounded outwards to bfloat16: 2 bytes instead of 4 for steps that are at most a few per cent wider.
    """

    lossless = False

    def __init__(self, bits: int, *, by_channel: bool) -> None:
        if not 3 <= bits <= 8:
            raise CodecError(f"integers must have 3 to 8 bits, got {bits}")
        self.id = f"int{bits}{'c' if by_channel else ''}"
        self.bits, self.by_channel = bits, by_channel
        self._takes = "floats" + (" of 3 or more dimensions, channels second" if by_channel else "")

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether these are floats, with an axis of channels where one is needed."""
        return dtype in _DTYPES and (not self.by_channel or len(shape) >= 3)

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        ranges, symbols = self._quantise(array)
        return ranges.tobytes() + pack(symbols, self.bits)

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`. Every size of `shape` must be known."""
        sizes = sizes_of(shape)
        ranges, symbols = self._counts(dtype, sizes)
        view = check_size(self, payload, ranges * _RANGE_BYTES + packed_bytes(symbols, self.bits), shape)
        unpacked = unpack(view[ranges * _RANGE_BYTES :], symbols, self.bits)
        return self._restore(view[: ranges * _RANGE_BYTES], unpacked, dtype, sizes)

    def layout(self, dtype: str, shape: Sequence[int]) -> tuple[Stream, ...]:
        """See :meth:`StreamCodec.layout`: the ranges, and the symbols, of 3 and 4 bits two to a byte."""
        ranges, symbols = self._counts(dtype, shape)
        return Stream(2 * ranges, 2), Stream(-(-symbols // self._in_byte), 1)

    def split(self, array: Array) -> tuple[bytes, ...]:
        """See :meth:`StreamCodec.split`."""
        ranges, symbols = self._quantise(array)
        if self._in_byte == 2:
            symbols = np.concatenate([symbols, np.zeros(len(symbols) % 2, np.uint8)])
            symbols = symbols[::2] | symbols[1::2] << np.uint8(self.bits)
        return ranges.tobytes(), symbols.tobytes()

    def join(self, streams: Sequence[Payload], dtype: str, shape: Sequence[int]) -> Array:
        """See :meth:`StreamCodec.join`."""
        symbols = np.frombuffer(streams[1], np.uint8)
        if symbols.size and int(symbols.max()) >> (self.bits * self._in_byte):
            raise CodecError(f"{self.id} payload holds symbols of more than {self.bits} bits")
        if self._in_byte == 2:
            both = np.stack([symbols & ((1 << self.bits) - 1), symbols >> self.bits], axis=1)
            symbols = both.reshape(-1)[: count(shape)]
        return self._restore(streams[0], symbols, dtype, shape)

    @property
    def _in_byte(self) -> int:
        """Symbols to a byte of the stream: pairs gain 5 % over single symbols where a byte holds two, measured."""
        return 2 if self.bits <= 4 else 1

    def _counts(self, dtype: str, shape: Sequence[int]) -> tuple[int, int]:
        """How many ranges and how many symbols such an array has."""
        if not self.accepts(dtype, shape):
            raise refuse(self, dtype, shape, self._takes)
        symbols = count(shape)
        if symbols == 0:
            return 0, 0
        return (shape[0] * shape[1] if self.by_channel else 1), symbols

    def _quantise(self, array: Array) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Ranges [groups, 2] as bfloat16, symbols [n]."""
        ranges, symbols = self._counts(array.dtype.name, array.shape)
        if symbols == 0:
            return np.zeros((0, 2), "<u2"), np.zeros(0, np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):
            # The layout in memory of the symbols is C order whatever the array's is.
            values = np.ascontiguousarray(array, dtype=np.float32).reshape(ranges, -1)
        least, greatest = values.min(axis=1), values.max(axis=1)
        if not (np.isfinite(least).all() and np.isfinite(greatest).all()):
            least, greatest, values = _finite_ranges(values)
        stored = np.stack([_outwards(least, down=True), _outwards(greatest, down=False)], axis=1)
        low, step = _low_and_step(stored, self.bits)
        inverse = np.where(step > _SMALLEST_STEP, 1 / np.maximum(step, _SMALLEST_STEP), 0).astype(np.float32)
        scaled = np.clip(values, -_LARGEST, _LARGEST) if np.abs(stored_values(stored)).max() >= _LARGEST else values
        scaled = (scaled - low[:, np.newaxis]) * inverse[:, np.newaxis]
        np.rint(scaled, out=scaled)
        np.clip(scaled, 0, (1 << self.bits) - 1, out=scaled)
        return stored, scaled.astype(np.uint8).reshape(-1)

    def _restore(self, ranges: Payload, symbols: NDArray[np.uint8], dtype: str, shape: Sequence[int]) -> Array:
        if symbols.size == 0:
            return np.zeros(shape, dtype)
        stored = np.frombuffer(ranges, "<u2").reshape(-1, 2)
        bounds = stored_values(stored)
        # A comparison with NaN is false, so this refuses NaN as well.
        if not ((bounds[:, 0] <= bounds[:, 1]) & (np.abs(bounds) <= _LARGEST * 1.01).all(axis=1)).all():
            raise CodecError(f"{self.id} payload holds a range that is none")
        low, step = _low_and_step(stored, self.bits)
        values = symbols.reshape(len(stored), -1).astype(np.float32)
        values *= step[:, np.newaxis]
        values += low[:, np.newaxis]
        if dtype == "float16":
            np.clip(values, -65504, 65504, out=values)
        return values.astype(dtype, copy=False).reshape(tuple(shape))


def parse_integers(codec_id: str) -> Integers | None:
    """The codec named ``intB`` or ``intBc``, or None."""
    match = re.fullmatch(r"int([3-8])(c?)", codec_id, re.ASCII)
    return Integers(int(match.group(1)), by_channel=bool(match.group(2))) if match else None


def stored_values(stored: NDArray[np.uint16]) -> Floats:
    """What bfloat16 numbers stand for."""
    values: Floats = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def _low_and_step(stored: NDArray[np.uint16], bits: int) -> tuple[Floats, Floats]:
    """Both sides compute them from what is stored, in float32, so that they agree to the bit."""
    bounds = stored_values(stored)
    return bounds[:, 0], (bounds[:, 1] - bounds[:, 0]) / np.float32((1 << bits) - 1)


def _outwards(values: Floats, *, down: bool) -> NDArray[np.uint16]:
    """The nearest bfloat16 that is not greater (or not less) than each value."""
    clipped = np.clip(values, -_LARGEST, _LARGEST)
    # Cutting the lower half off goes towards 0; where that is the wrong way the next one outwards is one more.
    pattern = np.ascontiguousarray(clipped).view(np.uint32)
    cut = pattern & np.uint32(0xFFFF) != 0
    away = cut & ((clipped < 0) if down else (clipped > 0))
    outwards: NDArray[np.uint16] = ((pattern >> np.uint32(16)) + away).astype("<u2")
    return outwards


def _finite_ranges(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Least and greatest of the finite values of each row (0 where there are none), and the values without NaN."""
    finite = np.isfinite(values)
    least = np.where(finite, values, np.inf).min(axis=1)
    greatest = np.where(finite, values, -np.inf).max(axis=1)
    none = ~finite.any(axis=1)
    least[none] = greatest[none] = 0
    zero: Any = np.clip(np.float32(0), least, greatest)[:, np.newaxis]
    filled = np.where(np.isnan(values), zero, values)
    return least, greatest, np.clip(filled, least[:, np.newaxis], greatest[:, np.newaxis])
