"""An array's own bytes: C order, little-endian, nothing before or after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnn_surgery.codecs.base import Array, Payload, Shape, array_dtype, infer_shape, show_shape
from dnn_surgery.codecs.streams import Stream, StreamCodec, count
from dnn_surgery.errors import CodecError


class Raw(StreamCodec):
    """Any array, as it is. Decoding copies nothing on a little-endian machine: the array is a view of the payload."""

    id = "raw"
    lossless = True

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """Whether both sides can tell the array's size from the payload's."""
        try:
            array_dtype(dtype)
        except CodecError:
            return False
        return sum(size is None for size in shape) <= 1

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        kind = array_dtype(array.dtype.name)
        return np.ascontiguousarray(array, dtype=kind.newbyteorder("<")).tobytes()

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`."""
        kind = array_dtype(dtype)
        size_bytes = memoryview(payload).nbytes
        if size_bytes % kind.itemsize:
            raise CodecError(
                f"raw payload of {size_bytes} bytes is no whole number of {dtype} elements, "
                f"expected shape {show_shape(shape)}"
            )
        full = infer_shape(shape, size_bytes // kind.itemsize)
        if kind.kind == "b" and size_bytes and np.frombuffer(payload, np.uint8).max() > 1:
            raise CodecError("raw payload of booleans holds bytes other than 0 and 1")
        # A big-endian machine copies here, others do not.
        return np.frombuffer(payload, kind.newbyteorder("<")).astype(kind, copy=False).reshape(full)

    def layout(self, dtype: str, shape: Sequence[int]) -> tuple[Stream, ...]:
        """See :meth:`StreamCodec.layout`: one stream, the elements."""
        return (Stream(count(shape), array_dtype(dtype).itemsize),)

    def split(self, array: Array) -> tuple[bytes, ...]:
        """See :meth:`StreamCodec.split`."""
        return (self.encode(array),)

    def join(self, streams: Sequence[Payload], dtype: str, shape: Sequence[int]) -> Array:
        """See :meth:`StreamCodec.join`."""
        return self.decode(streams[0], dtype, shape)
