"""Half precision: 2 bytes an element, 11 bits of it significant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnn_surgery.codecs.base import Array, Payload, Shape, infer_shape, show_shape
from dnn_surgery.codecs.streams import Stream, StreamCodec, count, refuse
from dnn_surgery.errors import CodecError

_TAKES = "float32 or float64"
_HALF = np.dtype("<f2")


class Fp16(StreamCodec):
    """``fp16``: IEEE half floats, nearest, ties to even.

    Finite values beyond 65504 become it: a tail would turn an infinity into NaN. Infinities and NaN stay what they are.
    """

    id = "fp16"
    lossless = False

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether these are floats of more than 16 bits, with at most one size that varies."""
        return dtype in ("float32", "float64") and sum(size is None for size in shape) <= 1

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        if not self.accepts(array.dtype.name, array.shape):
            raise refuse(self, array.dtype.name, array.shape, _TAKES)
        with np.errstate(over="ignore", invalid="ignore"):
            half = np.ascontiguousarray(array).astype(_HALF)
        overflown = np.isinf(half)
        if overflown.any():
            overflown &= np.isfinite(array)
            half[overflown] = np.copysign(np.float16(65504), half[overflown])
        return half.tobytes()

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`."""
        if not self.accepts(dtype, shape):
            raise refuse(self, dtype, shape, _TAKES)
        size_bytes = memoryview(payload).nbytes
        if size_bytes % 2:
            raise CodecError(f"fp16 payload of {size_bytes} bytes is odd, expected shape {show_shape(shape)}")
        full = infer_shape(shape, size_bytes // 2)
        with np.errstate(invalid="ignore"):  # a stranger's signalling NaN is quieted, and is not worth a warning
            return np.frombuffer(payload, _HALF).astype(dtype).reshape(full)

    def layout(self, dtype: str, shape: Sequence[int]) -> tuple[Stream, ...]:
        """See :meth:`StreamCodec.layout`: one stream, the halves."""
        if not self.accepts(dtype, shape):
            raise refuse(self, dtype, shape, _TAKES)
        return (Stream(count(shape), 2),)

    def split(self, array: Array) -> tuple[bytes, ...]:
        """See :meth:`StreamCodec.split`."""
        return (self.encode(array),)

    def join(self, streams: Sequence[Payload], dtype: str, shape: Sequence[int]) -> Array:
        """See :meth:`StreamCodec.join`."""
        return self.decode(streams[0], dtype, shape)
