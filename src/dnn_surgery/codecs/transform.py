"""A learnt transform, one step for all, entropy coded: ``klt-DIGEST``.

    x [N, C, H, W] --minus mean, times forward [C, C]--> channels without correlation
                   --cosine transform of blocks--------> coefficients without correlation
                   --round, saturate-------------------> symbols --range coder, a table a group--> payload

What is learnt (:class:`TransformParameters`) is many times larger than a payload, so both sides hold it as a file, and
the id names the file's content by its SHA-256: a receiver that holds something else does not know the id, and no
payload can be read with the wrong parameters. How they are learnt: :mod:`dnn_surgery.calibration.learning`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape, show_shape
from dnn_surgery.codecs.cosine import forward_blocks, inverse_blocks
from dnn_surgery.codecs.streams import refuse, sizes_of
from dnn_surgery.codecs.transform_file import NOT_SENT, Floats, TransformParameters, planes_of
from dnn_surgery.errors import CodecError

__all__ = ["Transform", "TransformParameters"]

_MOST_STEPS = np.float32(1 << 30)
# What an infinity becomes: sums of its products stay finite.
_LARGEST_VALUE = 1e30


class Transform(Codec):
    """``klt-`` and the first 16 hex digits of the SHA-256 of its parameters. To be registered on both sides.

    A payload is a CRC-32 (of the number of symbols as uint32, and what follows), the number E of escapes as uint32, the
    words of constriction's range coder, group by group, and E int32. A group's largest symbols, of either sign, are
    escapes: each stands for the next of the int32. Beyond 2^30 steps values saturate; NaN becomes the mean. The
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
        self.id = "klt-" + hashlib.sha256(parameters.to_bytes()).hexdigest()[:16]
        self._stream: Any = _constriction()
        self._takes = f"float32 or float64 of shape {show_shape((None, *parameters.shape))}"

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether these are floats of the shape that was learnt from; the batch is free."""
        return dtype in ("float32", "float64") and tuple(shape[1:]) == self.parameters.shape

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        if not self.accepts(array.dtype.name, array.shape):
            raise refuse(self, array.dtype.name, array.shape, self._takes)
        steps = self._steps(array)
        escaped = np.abs(steps) >= self._limits
        escapes = steps[escaped].astype("<i4")
        symbols = (np.clip(steps, -self._limits, self._limits) + self._limits).astype(np.int32)
        encoder = self._stream.queue.RangeEncoder()
        for model, part in self._groups():
            encoder.encode(symbols[:, part].reshape(-1), model)
        words: bytes = encoder.get_compressed().astype("<u4").tobytes() if symbols.size else b""
        body = struct.pack("<I", len(escapes)) + words + escapes.tobytes()
        return struct.pack("<I", _checksum(body, symbols.size)) + body

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`. Every size of `shape` must be known."""
        sizes = sizes_of(shape)
        if not self.accepts(dtype, sizes):
            raise refuse(self, dtype, sizes, self._takes)
        view = memoryview(payload).cast("B")
        symbols = sizes[0] * len(self._order)
        # A symbol takes at most 24 bits of the coder's precision, and an escape 32 beside them.
        if view.nbytes < 8 or view.nbytes % 4 or view.nbytes > 7 * symbols + 24:
            raise CodecError(f"{self.id} payload of {view.nbytes} bytes cannot be of shape {show_shape(shape)}")
        checksum, escapes = struct.unpack("<II", view[:8])
        if checksum != _checksum(view[4:], symbols) or 4 * escapes > view.nbytes - 8:
            raise CodecError(f"{self.id} payload is damaged: its checksum is wrong")
        steps = self._read(view[8 : view.nbytes - 4 * escapes], sizes[0])
        escaped = np.abs(steps) >= self._limits
        if np.count_nonzero(escaped) != escapes:
            raise CodecError(f"{self.id} payload has {escapes} escapes, its symbols name {np.count_nonzero(escaped)}")
        steps[escaped] = np.frombuffer(view[view.nbytes - 4 * escapes :], "<i4")
        channels, height, width = planes_of(self.parameters.shape)
        coefficients = np.zeros((sizes[0], channels * height * width), np.float32)
        coefficients[:, self._order] = steps
        planes = inverse_blocks(coefficients.reshape(-1, channels, height, width), self.parameters.blocks)
        values = self.parameters.inverse @ planes.reshape(-1, channels, height * width)
        values += self.parameters.mean[:, np.newaxis]
        return values.astype(dtype, copy=False).reshape(sizes)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """Places of the coefficients that are sent, those of a group together."""
        groups = self._places.reshape(-1)
        order = np.argsort(groups, kind="stable")
        return order[: np.count_nonzero(groups != NOT_SENT)]

    @cached_property
    def _places(self) -> NDArray[np.uint8]:
        """The group of each coefficient [C, H, W]: those of all blocks are alike."""
        (_, height, width), (high, wide) = planes_of(self.parameters.shape), self.parameters.blocks
        return np.tile(self.parameters.groups, (1, height // high, width // wide))

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        """Where each group begins and ends in the order."""
        sizes = np.bincount(self._places.reshape(-1), minlength=NOT_SENT)[: len(self.parameters.tables)]
        return np.concatenate([[0], np.cumsum(sizes)])

    @cached_property
    def _limits(self) -> NDArray[np.float32]:
        """The largest symbol at each place of the order."""
        limits = np.array([len(table) // 2 for table in self.parameters.tables], np.float32)
        return np.repeat(limits, np.diff(self._ends))

    @cached_property
    def _models(self) -> tuple[Any, ...]:
        return tuple(
            self._stream.model.Categorical(table / table.sum(dtype=np.float64), perfect=False)
            for table in self.parameters.tables
        )

    def _groups(self) -> Iterator[tuple[Any, slice]]:
        """The table and the places of each group that has any."""
        for model, start, end in zip(self._models, self._ends[:-1].tolist(), self._ends[1:].tolist(), strict=True):
            if end > start:
                yield model, slice(start, end)

    def _steps(self, array: Array) -> Floats:
        """Whole steps, [N, coefficients that are sent], in their order."""
        channels, height, width = planes_of(self.parameters.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(array, dtype=np.float32).reshape(-1, channels, height * width)
            values = values - self.parameters.mean[:, np.newaxis]
            if not np.isfinite(values).all():
                values = np.nan_to_num(values, nan=0.0, posinf=_LARGEST_VALUE, neginf=-_LARGEST_VALUE)
            planes = (self.parameters.forward @ values).reshape(-1, channels, height, width)
            coefficients = forward_blocks(planes, self.parameters.blocks).reshape(
                len(values), channels * height * width
            )
            coefficients = coefficients[:, self._order]
        steps = np.rint(np.nan_to_num(coefficients, nan=0.0))
        clipped: Floats = np.clip(steps, -_MOST_STEPS, _MOST_STEPS, out=steps)
        return clipped

    def _read(self, words: memoryview, batch: int) -> Floats:
        """Steps [N, coefficients that are sent]."""
        steps = np.empty((batch, len(self._order)), np.float32)
        if steps.size == 0:
            if words.nbytes:
                raise CodecError(f"{self.id} payload holds words for an empty array")
            return steps
        compressed = np.frombuffer(words, "<u4").astype(np.uint32)
        try:
            decoder = self._stream.queue.RangeDecoder(compressed)
            for model, part in self._groups():
                steps[:, part] = decoder.decode(model, batch * (part.stop - part.start)).reshape(batch, -1)
        except Exception as error:
            # What a stranger's words make the library raise is not told; whatever it is, the payload is to blame.
            raise CodecError(f"{self.id} payload cannot be decoded: {error}") from error
        steps -= self._limits
        return steps


def _checksum(words: bytes | memoryview, symbols: int) -> int:
    """The coder reads any words as something: this tells a payload that is damaged or of another shape."""
    return zlib.crc32(words, zlib.crc32(struct.pack("<I", symbols)))


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise CodecError("a transform codec needs constriction: pip install 'dnn-surgery[codecs]'") from error
    return constriction.stream
