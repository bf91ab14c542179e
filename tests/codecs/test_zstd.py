"""Compression: bytes written once read for ever, bombs are refused, zeros cost nothing."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
import zstandard

from dnn_surgery import codecs
from dnn_surgery.errors import CodecError

WAVE = np.tile(np.array([1.5, 0.0, -2.0, 0.0, 0.0], np.float32), 40)


def framed(plane: bytes, *, content_size: bool = True, checksum: bool = False) -> bytes:
    writer = zstandard.ZstdCompressor(level=19, write_content_size=content_size, write_checksum=checksum)
    frame = writer.compress(plane)
    return struct.pack("<I", len(frame) | 1 << 31) + frame


def stored(plane: bytes) -> bytes:
    return struct.pack("<I", len(plane)) + plane


def test_golden_bytes_of_what_is_stored() -> None:
    array = np.array([1.0, -2.0], np.float32)
    golden = "00" + "02000000 0000 02000000 0000 02000000 8000 02000000 3fc0".replace(" ", "")
    assert codecs.encode("zstd", array).hex() == golden
    masked = "01" + "01000000 02 01000000 00 01000000 00 01000000 00 01000000 c0".replace(" ", "")
    array = np.array([0.0, -2.0], np.float32)
    assert codecs.encode("zstd", array).hex() == masked
    assert codecs.decode("zstd", bytes.fromhex(masked), "float32", (2,)).tolist() == [0, -2]


def test_golden_frames_of_one_release_are_read_by_every_other() -> None:
    # Written by libzstd 1.5.7 for 256 int8 elements 0 1 2 3 0 1 2 3 ...
    golden = bytes.fromhex(GOLDEN)
    expected = (np.arange(256) % 4).astype(np.int8)
    assert np.array_equal(codecs.decode("zstd", golden, "int8", (256,)), expected)


GOLDEN = "1500008028b52ffd6000005d000020000102030100f9294704"


def test_other_encoders_of_the_same_array_are_read() -> None:
    planes = np.ascontiguousarray(WAVE).view(np.uint8).reshape(-1, 4).T
    for payload in (
        b"\0" + b"".join(framed(plane.tobytes()) for plane in planes),
        b"\0" + b"".join(stored(plane.tobytes()) for plane in planes),
        b"\0" + b"".join(framed(plane.tobytes(), checksum=True) for plane in planes),
    ):
        assert codecs.decode("zstd", payload, "float32", WAVE.shape).tobytes() == WAVE.tobytes()


def test_zeros_cost_a_bit_at_most() -> None:
    draw = np.random.default_rng(1)
    array = np.where(draw.random(8000) < 0.25, draw.normal(size=8000), 0).astype(np.float32)
    assert len(codecs.encode("zstd", array)) < 8000 / 8 + np.count_nonzero(array) * 4 + 100


def test_alike_elements_become_few_bytes() -> None:
    assert len(codecs.encode("zstd", WAVE)) < WAVE.nbytes / 6
    assert len(codecs.encode("int8c+zstd", WAVE.reshape(1, 8, 25))) < 100


def refused(payload: bytes, match: str, shape: tuple[int, ...] = (4,), dtype: str = "int8") -> None:
    tracemalloc.start()
    with pytest.raises(CodecError, match=match):
        codecs.decode("zstd", payload, dtype, shape)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_frame_that_declares_more_than_the_tensor_holds_is_not_inflated() -> None:
    bomb = framed(bytes(200_000_000))
    assert len(bomb) < 100_000
    refused(bomb, "declares another size than the 4 bytes")
    refused(framed(bytes(200_000_000), content_size=False), "declares another size")


def test_a_frame_that_holds_more_than_it_declares_is_not_inflated() -> None:
    honest = zstandard.ZstdCompressor(level=1).compress(bytes(4000))
    # A small single-segment frame has its size in the two bytes behind magic number and descriptor, less 256.
    assert struct.unpack_from("<H", honest, 5)[0] == 4000 - 256
    lie = honest[:5] + struct.pack("<H", 300 - 256) + honest[7:]
    refused(struct.pack("<I", len(lie) | 1 << 31) + lie, "no readable zstandard frame", (300,))


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        (b"", "truncated"),
        (stored(b"abc"), "plane of 3 bytes, expected 4"),
        (stored(b"abcd") + b"!", "1 bytes too many"),
        (struct.pack("<I", 2**31 - 1), "truncated"),
        (struct.pack("<I", 2**32 - 1), "truncated"),
        (struct.pack("<I", 4 | 1 << 31) + b"abcd", "no readable zstandard frame"),
        (struct.pack("<I", 1 << 31), "no readable zstandard frame"),
    ],
)
def test_planes_of_another_size_are_refused(payload: bytes, match: str) -> None:
    refused(payload, match)


def test_two_frames_for_one_are_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(b"abcd")
    refused(struct.pack("<I", 2 * len(frame) | 1 << 31) + frame + frame, "no readable zstandard frame")


def test_a_skippable_frame_is_refused() -> None:
    skippable = bytes.fromhex("502a4d18 04000000") + b"abcd"
    refused(struct.pack("<I", len(skippable) | 1 << 31) + skippable, "zstd payload")


def test_streams_of_unknown_form_are_refused() -> None:
    refused(b"\2" + stored(b"a"), "stream of form 2", (1,), "int16")


def test_symbols_of_too_many_bits_are_refused() -> None:
    ranges = b"\0" + stored(b"\0\0") + stored(b"\0\0")
    with pytest.raises(CodecError, match="symbols of more than 3 bits"):
        codecs.decode("int3+zstd", ranges + stored(b"\xff"), "float32", (2,))
