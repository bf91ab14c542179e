"""Lossless compression with zstandard, of arrays or of what another codec makes of them: ``zstd``, ``int8c+zstd``.

Chosen by measurement on boundary tensors of efficientnet_lite0 (20 pictures, two videos), bytes and milliseconds:

    float32           as it is   bytes shuffled   bits shuffled   blosc2, bytes   each byte plane alone (this)
    block 1   301 056  278 400    258 660          265 711         253 650 (2.7)   251 952 (0.5)
    block 5    62 720   58 190     57 202           61 360          53 251 (1.0)    53 191 (0.4)
    block 11   37 632   34 879     34 346           35 993          31 970 (1.2)    31 903 (0.1)

The lower bytes of a float are noise: alone they are stored, and do not spoil the statistics of the upper ones. Where
ReLU leaves zeros (block 5's expansion, 752 640 bytes), a mask of what is not zero saves another sixth (421 827 to
349 004). Level 9 instead of 1 gains less than 1 % for five times the time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import zstandard
from numpy.typing import NDArray

from dnn_surgery.codecs.base import Array, Codec, Payload, Shape, show_shape
from dnn_surgery.codecs.raw import Raw
from dnn_surgery.codecs.streams import Stream, StreamCodec, sizes_of
from dnn_surgery.errors import CodecError

SUFFIX = "+zstd"
_LEVEL = 1
_COMPRESSED = 1 << 31
_DENSE, _MASKED = 0, 1
# Zeros also compress without a mask; from about this share of them on, the mask is smaller (measured: at 0.21 by 2 %).
_MASK_FROM_ZEROS = 1 / 6


class Zstd(Codec):
    """Each stream of the inner codec as byte planes, each plane by itself as a zstandard frame or as it is.

    A stream of elements of one byte is one plane. A stream of wider elements begins with a byte: 0, all elements
    follow, or 1, a plane with a bit an element follows (1: not zero; the first element in the lowest bit) and the
    elements that are not zero. A plane is a uint32 with its size on the wire, whose highest bit says that it is a
    zstandard frame, and its bytes.

    Which frame a zstandard library writes may change between its versions, so the bytes may differ; that every version
    reads every frame is what zstandard promises (RFC 8878), and what the id promises.
    """

    def __init__(self, inner: StreamCodec) -> None:
        self.inner, self.lossless = inner, inner.lossless
        self.id = "zstd" if isinstance(inner, Raw) else inner.id + SUFFIX

    def accepts(self, dtype: str, shape: Shape) -> bool:
        """What the inner codec accepts."""
        return self.inner.accepts(dtype, shape)

    def encode(self, array: Array) -> bytes:
        """See :meth:`Codec.encode`."""
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        layout = self.inner.layout(array.dtype.name, array.shape)
        return b"".join(
            part
            for stream, data in zip(layout, self.inner.split(array), strict=True)
            for part in _write_stream(compressor, data, stream)
        )

    def decode(self, payload: Payload, dtype: str, shape: Shape) -> Array:
        """See :meth:`Codec.decode`. Every size of `shape` must be known: it bounds what is taken."""
        sizes = sizes_of(shape)
        reader = _Reader(memoryview(payload).cast("B"), f"{self.id} payload for shape {show_shape(shape)}")
        streams = [reader.stream(stream) for stream in self.inner.layout(dtype, sizes)]
        reader.end()
        return self.inner.join(streams, dtype, sizes)


def _write_stream(compressor: zstandard.ZstdCompressor, data: bytes, stream: Stream) -> Iterator[bytes]:
    width = stream.width_bytes
    if width == 1:
        yield from _write_plane(compressor, data)
        return
    elements = np.frombuffer(data, np.uint8).reshape(-1, width)
    present = elements.any(axis=1)
    masked = stream.elements > 0 and np.count_nonzero(present) <= (1 - _MASK_FROM_ZEROS) * stream.elements
    yield bytes([_MASKED if masked else _DENSE])
    if masked:
        yield from _write_plane(compressor, np.packbits(present, bitorder="little").tobytes())
        elements = elements[present]
    for column in range(width):
        yield from _write_plane(compressor, elements[:, column].tobytes())


def _write_plane(compressor: zstandard.ZstdCompressor, plane: bytes) -> Iterator[bytes]:
    frame = compressor.compress(plane) if plane else b""
    if plane and len(frame) < len(plane):
        yield struct.pack("<I", len(frame) | _COMPRESSED)
        yield frame
    else:
        yield struct.pack("<I", len(plane))
        yield plane


class _Reader:
    """Reads planes one after the other; each is as long as it has to be before a byte of it is inflated."""

    def __init__(self, payload: memoryview, what: str) -> None:
        self._rest, self._what = payload, what
        self._decompressor = zstandard.ZstdDecompressor()

    def stream(self, stream: Stream) -> Payload:
        """The bytes of one stream."""
        width = stream.width_bytes
        if width == 1:
            return self._plane(stream.elements)
        form = self._take(1)[0]
        if form == _DENSE:
            return _interleave(self._planes(stream.elements, width))
        if form != _MASKED:
            raise CodecError(f"{self._what}: a stream of form {form}, expected 0 or 1")
        bits = np.frombuffer(self._plane(-(-stream.elements // 8)), np.uint8)
        present = np.unpackbits(bits, count=stream.elements, bitorder="little").view(np.bool_)
        elements = np.zeros((stream.elements, width), np.uint8)
        elements[present] = self._planes(int(np.count_nonzero(present)), width).T
        return elements.reshape(-1).data

    def end(self) -> None:
        """Nothing may follow.

        Raises:
            CodecError: something does.
        """
        if self._rest.nbytes:
            raise CodecError(f"{self._what}: {self._rest.nbytes} bytes too many")

    def _planes(self, elements: int, width: int) -> NDArray[np.uint8]:
        planes = np.empty((width, elements), np.uint8)
        for index in range(width):
            planes[index] = np.frombuffer(self._plane(elements), np.uint8)
        return planes

    def _plane(self, size_bytes: int) -> Payload:
        (head,) = struct.unpack("<I", self._take(4))
        data = self._take(head & ~_COMPRESSED)
        if not head & _COMPRESSED:
            if data.nbytes != size_bytes:
                raise CodecError(f"{self._what}: a plane of {data.nbytes} bytes, expected {size_bytes}")
            return data
        try:
            # A frame says how much it holds, and the library makes room for it: so that is looked at first.
            declared_bytes = zstandard.get_frame_parameters(data).content_size
            if declared_bytes != size_bytes:
                raise CodecError(f"{self._what}: a frame declares another size than the {size_bytes} bytes expected")
            plane = self._decompressor.decompress(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CodecError(f"{self._what}: no readable zstandard frame: {error}") from error
        if len(plane) != size_bytes:
            raise CodecError(f"{self._what}: a frame of {len(plane)} bytes, expected {size_bytes}")
        return plane

    def _take(self, size_bytes: int) -> memoryview:
        if size_bytes > self._rest.nbytes:
            raise CodecError(f"{self._what} is truncated")
        taken, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return taken


def _interleave(planes: NDArray[np.uint8]) -> Payload:
    return np.ascontiguousarray(planes.T).reshape(-1).data
