"""Pictures: what a stranger's file may not do, and what the project's own looks like."""

from __future__ import annotations

import importlib.util
import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_surgery import codecs
from dnn_surgery.errors import CodecError

SHAPE = (1, 64, 48, 3)


@pytest.fixture(scope="module")
def picture() -> codecs.Array:
    """A real one, 64x48."""
    spec = importlib.util.find_spec("foolbox")
    assert spec is not None and spec.origin is not None
    path = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))[0]
    return np.asarray(Image.open(path).convert("RGB").resize((48, 64)))[np.newaxis]


def written(array: codecs.Array, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int, height: int, *kind: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">II5B", width, height, *(kind or (8, 2, 0, 0, 0))))


def webp_of_length(payload: bytes) -> bytes:
    """The same file, cut, with the lengths in its headers made true again."""
    size_bytes = len(payload) & ~1
    return b"".join(
        (
            payload[:4],
            struct.pack("<I", size_bytes - 8),
            payload[8:16],
            struct.pack("<I", size_bytes - 20),
            payload[20:size_bytes],
        )
    )


def refused(codec: str, payload: bytes, match: str, shape: tuple[int | None, ...] = SHAPE) -> None:
    with pytest.raises(CodecError, match=match):
        codecs.decode(codec, payload, "uint8", shape)


@pytest.mark.parametrize("quality", range(1, 101))
def test_every_quality_reads_what_it_writes(picture: codecs.Array, quality: int) -> None:
    payload = codecs.encode(f"jpeg{quality}", picture)
    decoded = codecs.decode(f"jpeg{quality}", payload, "uint8", SHAPE)
    assert np.array_equal(decoded[0], np.asarray(Image.open(io.BytesIO(payload))))


def test_quality_buys_likeness_with_bytes(picture: codecs.Array) -> None:
    sizes, errors = [], []
    for codec in ("jpeg20", "jpeg75", "jpeg95"):
        payload = codecs.encode(codec, picture)
        sizes.append(len(payload))
        errors.append(np.abs(codecs.decode(codec, payload, "uint8", SHAPE).astype(int) - picture).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("quality", [1, 50, 75, 100])
def test_every_webp_quality_reads_what_it_writes(picture: codecs.Array, quality: int) -> None:
    payload = codecs.encode(f"webp{quality}", picture)
    decoded = codecs.decode(f"webp{quality}", payload, "uint8", SHAPE)
    assert np.array_equal(decoded[0], np.asarray(Image.open(io.BytesIO(payload))))


def test_other_kinds_of_webp_are_refused(picture: codecs.Array) -> None:
    plain = codecs.encode("webp75", picture)
    alpha = np.dstack([picture[0], picture[0, :, :, 0]])
    moving = io.BytesIO()
    Image.fromarray(picture[0]).save(
        moving, "WEBP", save_all=True, append_images=[Image.fromarray(255 - picture[0])] * 3
    )
    refused("webp75", written(picture[0], "WEBP", lossless=True), "VP8L")
    refused("webp75", written(alpha, "WEBP"), "VP8X")
    refused("webp75", written(picture[0], "WEBP", exif=Image.Exif().tobytes() or b"Exif\0\0"), "VP8X")
    refused("webp75", moving.getvalue(), "VP8X")
    refused("webp75", plain + b"EXIF" + struct.pack("<I", 4) + bytes(4), "holds more than its frame")
    refused("webp75", plain[:20] + b"\xff" + plain[21:], "no key frame")
    refused("webp75", codecs.encode("jpeg75", picture), "no WebP")


def test_other_kinds_of_lossless_webp_are_refused(picture: codecs.Array) -> None:
    plain = codecs.encode("webp-lossless", picture)
    assert len(plain) < len(codecs.encode("png", picture))
    alpha = np.dstack([picture[0], picture[0, :, :, 0]])
    refused("webp-lossless", codecs.encode("webp75", picture), "VP8 ")
    refused("webp-lossless", written(alpha, "WEBP", lossless=True), "transparency")
    refused("webp-lossless", plain[:20] + b"\x2e" + plain[21:], "damaged")
    refused("webp-lossless", plain[:24] + bytes([plain[24] | 0x20]) + plain[25:], "damaged")
    refused("webp-lossless", plain, "expected 65x48", (1, 65, 48, 3))


def test_golden_pictures_of_one_release_are_read_by_every_other() -> None:
    # Written by libwebp 1.6.0 and zlib 1.2.13: two pixels, red and blue, over two, green and white.
    expected = [[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 255, 255]]]
    for codec, payload in GOLDEN.items():
        assert codecs.decode(codec, bytes.fromhex(payload), "uint8", (1, 2, 2, 3))[0].tolist() == expected
    # Lossy ones by libjpeg-turbo 3.2.0 and the same libwebp: a grey that every decoder gives alike.
    for codec, payload in GOLDEN_GREY.items():
        grey = codecs.decode(codec, bytes.fromhex(payload), "uint8", (1, 2, 2, 3))
        assert np.abs(grey.astype(int) - 128).max() <= 1


def test_a_webp_side_has_14_bits() -> None:
    assert codecs.get("webp75").accepts("uint8", (1, 1, 16_383, 3))
    assert not codecs.get("webp75").accepts("uint8", (1, 1, 16_384, 3))


def test_chroma_is_halved_both_ways(picture: codecs.Array) -> None:
    with Image.open(io.BytesIO(codecs.encode("jpeg95", picture))) as image:
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]
    with Image.open(io.BytesIO(codecs.encode("jpeg95-444", picture))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize("codec", ["png", "jpeg75", "jpeg75-444", "webp75", "webp-lossless"])
def test_a_declared_size_is_checked_before_a_pixel_is_decoded(codec: str) -> None:
    payload = codecs.encode(codec, np.zeros((1, 3000, 3000, 3), np.uint8))[: 2 * 64 * 48 * 3]
    if codec.startswith("webp"):
        payload = webp_of_length(payload)
    end = {"p": chunk(b"IEND", b""), "j": b"\xff\xd9", "w": b""}[codec[0]]
    tracemalloc.start()
    refused(codec, payload + end, "picture of 3000x3000, expected 64x48")
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


def test_more_data_than_the_picture_needs_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    payload = png(header(480, 640), chunk(b"IDAT", bomb), chunk(b"IEND", b""))
    tracemalloc.start()
    refused("png", payload, "does not inflate to the 922240 bytes of its rows", (1, 640, 480, 3))
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_texts_profiles_and_exif_are_refused(picture: codecs.Array) -> None:
    plain = codecs.encode("png", picture)
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(10_000)))
    refused("png", plain[:33] + bomb + plain[33:], "chunks other than header, data and end")
    exif = Image.Exif()
    exif[0x0112] = 6
    refused("jpeg75", written(picture[0], "JPEG", exif=exif), "segment 0xffe1")
    refused("jpeg75", written(picture[0], "JPEG", icc_profile=bytes(100)), "segment 0xffe2")


def test_progressive_and_many_scans_are_refused(picture: codecs.Array) -> None:
    refused("jpeg75", written(picture[0], "JPEG", progressive=True), "segment 0xffc2")
    baseline = codecs.encode("jpeg75", picture)
    scan = baseline[baseline.index(b"\xff\xda") : -2]
    refused("jpeg75", baseline[:-2] + scan * 20 + b"\xff\xd9", "1 frames and 21 scans")


def test_other_kinds_of_picture_are_refused(picture: codecs.Array) -> None:
    grey, alpha = picture[0, :, :, 0], np.dstack([picture[0], picture[0, :, :, 0]])
    refused("jpeg75", written(grey, "JPEG"), "1 colour components, expected 3")
    refused("png", written(grey, "PNG"), "not of 8-bit RGB")
    refused("png", written(alpha, "PNG"), "not of 8-bit RGB")
    refused("png", png(header(48, 64, 16, 2, 0, 0, 0), chunk(b"IEND", b"")), "not of 8-bit RGB")
    refused("png", png(header(48, 64, 8, 2, 0, 0, 1), chunk(b"IEND", b"")), "not of 8-bit RGB")
    refused("png", codecs.encode("jpeg75", picture), "no PNG")
    refused("jpeg75", codecs.encode("png", picture), "no JPEG")


def test_a_changed_byte_of_a_png_is_noticed(picture: codecs.Array) -> None:
    payload = bytearray(codecs.encode("png", picture))
    payload[len(payload) // 2] ^= 1
    refused("png", bytes(payload), "checksum")


@pytest.mark.parametrize("rows", [b"", zlib.compress(bytes(9248 // 2)), zlib.compress(bytes(9280))[:-2]])
def test_a_png_without_all_its_rows_is_refused(rows: bytes) -> None:
    refused("png", png(header(48, 64), chunk(b"IDAT", rows), chunk(b"IEND", b"")), "does not inflate to the 9280 bytes")


def test_a_png_without_data_is_refused() -> None:
    refused("png", png(header(48, 64), chunk(b"IEND", b"")), "does not inflate")
    refused("png", png(header(48, 64), chunk(b"IDAT", b"no deflate"), chunk(b"IEND", b"")), "damaged")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), r"uint8 \[2, 4, 4, 3\]"),
        (np.zeros((1, 4, 4, 4), np.uint8), r"uint8 \[1, 4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.uint8), r"uint8 \[4, 4, 3\]"),
        (np.zeros((1, 4, 4, 3), np.float32), r"float32 \[1, 4, 4, 3\]"),
        (np.zeros((1, 0, 4, 3), np.uint8), r"uint8 \[1, 0, 4, 3\]"),
        (np.zeros((1, 1, 70_000, 3), np.uint8), r"uint8 \[1, 1, 70000, 3\]"),
    ],
)
@pytest.mark.parametrize("codec", ["png", "jpeg75"])
def test_only_one_rgb_picture_is_taken(codec: str, array: codecs.Array, reason: str) -> None:
    assert not codecs.get(codec).accepts(array.dtype.name, array.shape)
    with pytest.raises(CodecError, match=f"takes an RGB picture.*got {reason}"):
        codecs.encode(codec, array)


@pytest.mark.parametrize("shape", [(1, None, 48, 3), (1, 64, None, 3), (2, 64, 48, 3), (64, 48, 3)])
def test_only_one_rgb_picture_is_given(picture: codecs.Array, shape: tuple[int | None, ...]) -> None:
    refused("png", codecs.encode("png", picture), "gives uint8", shape)


GOLDEN = {
    "png": (
        "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000001249444154785e63f8cf0004ff19"
        "19fe8320001df704fd38e831280000000049454e44ae426082"
    ),
    "webp-lossless": (
        "524946462c000000574542505650384c1f0000002f014000001f201048de1f3a8df9171014fc1fddfc47640fe0020d11fd0f0100"
    ),
}

GOLDEN_GREY = {
    "jpeg75": (
        "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f"
        "141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffdb0043010909090c0b0c"
        "180d0d1832211c21323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232ffc00011080002000203012200021101031101ffc40014000100000000000000000000000000000000ff"
        "c40014100100000000000000000000000000000000ffc40014010100000000000000000000000000000000ffc40014110100"
        "000000000000000000000000000000ffda000c03010002110311003f00000fffd9"
    ),
    "jpeg75-444": (
        "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f"
        "141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffdb0043010909090c0b0c"
        "180d0d1832211c21323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232ffc00011080002000203011100021101031101ffc40014000100000000000000000000000000000000ff"
        "c40014100100000000000000000000000000000000ffc40014010100000000000000000000000000000000ffc40014110100"
        "000000000000000000000000000000ffda000c03010002110311003f0003ffd9"
    ),
    "webp75": ("52494646240000005745425056503820180000005001009d012a0200020002003425a40004740000e4400000"),
}
