"""The learnt transform: golden bytes, its file, values at and beyond its edge."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from dnn_surgery import codecs
from dnn_surgery.codecs.cosine import block_of, forward_blocks, inverse_blocks
from dnn_surgery.codecs.transform import Transform, TransformParameters
from dnn_surgery.codecs.transform_file import NOT_SENT, planes_of
from dnn_surgery.errors import CodecError
from tests.codecs.transforms import example_parameters

PARAMETERS = example_parameters((3, 2, 2), limit=5, blocks=(1, 1))
CODEC = Transform(PARAMETERS)
RAMP = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2) / 8


def test_golden_bytes() -> None:
    # Multiples of 1/8 and these matrices are exact in float32, so no machine may differ.
    assert CODEC.id == "klt-9a3c81e3cc8c9dfe"
    assert CODEC.encode(RAMP).hex() == "54a81c2f00000000953d728ed84b5747"
    decoded = CODEC.decode(bytes.fromhex("54a81c2f00000000953d728ed84b5747"), "float32", RAMP.shape)
    assert np.abs(decoded - RAMP).max() <= 0.5


def test_golden_bytes_of_blocks_and_escapes() -> None:
    codec = Transform(example_parameters((3, 4, 2), limit=3))
    assert codec.id == "klt-16384110c7d6e25c"
    # Far from every rounding edge in coefficients, so that no machine's products may differ; 20 is an escape.
    steps = np.zeros((3, 4, 2), np.float32)
    steps[0, 0, 0], steps[1, 1, 1], steps[2, 3, 0] = 20, -2, 1
    array = codec.decode(bytes.fromhex("1276775b010000006fe1dff5477794c614000000"), "float32", (1, 3, 4, 2))
    planes = codec.parameters.forward @ (array[0].reshape(3, 8) - codec.parameters.mean[:, np.newaxis])
    assert np.abs(forward_blocks(planes.reshape(1, 3, 4, 2).astype(np.float32), (4, 2))[0] - steps).max() < 1e-4
    assert codec.encode(array).hex() == "1276775b010000006fe1dff5477794c614000000"


def test_a_file_holds_the_parameters_and_the_id_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "block5.klt"
    PARAMETERS.save(path)
    loaded = TransformParameters.load(path)
    assert loaded.to_bytes() == PARAMETERS.to_bytes() == path.read_bytes()
    assert (loaded.tensor, loaded.frames) == ("middle", (bytes(range(8)),))
    assert Transform(loaded).id == CODEC.id
    assert Transform(example_parameters((3, 2, 2), limit=6)).id != CODEC.id
    with pytest.raises(CodecError, match="cannot read the transform"):
        TransformParameters.load(tmp_path / "none")
    with pytest.raises(CodecError, match="cannot write the transform"):
        PARAMETERS.save(tmp_path / "none" / "x.klt")
    path.write_bytes(b"no transform")
    with pytest.raises(CodecError, match=r"block5\.klt: no parameters"):
        TransformParameters.load(path)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_refused_or_holds_parameters(data: st.DataObject) -> None:
    content = bytearray(PARAMETERS.to_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    try:
        found = TransformParameters.from_bytes(bytes(content[:cut]))
    except CodecError:
        return
    assert found.to_bytes() == bytes(content)


def test_an_id_is_known_once_registered() -> None:
    fresh = Transform(example_parameters((4, 3), limit=9))
    with pytest.raises(CodecError, match="unknown codec"):
        codecs.get(fresh.id)
    codecs.register(fresh)
    assert codecs.get(fresh.id) is fresh


@pytest.mark.parametrize("shape", [(3, 40), (3, 6, 10), (2, 28, 5), (3, 2, 2, 4), (1, 17, 1)])
def test_the_error_is_at_most_half_a_step_in_coefficients(shape: tuple[int, ...]) -> None:
    parameters = example_parameters(shape)
    codec = Transform(parameters)
    array = np.random.default_rng(2).uniform(-9, 9, (2, *shape)).astype(np.float32)
    decoded = codec.decode(codec.encode(array), "float32", array.shape)
    channels, height, width = planes_of(shape)
    error = (parameters.forward @ (decoded - array).reshape(2, channels, -1)).reshape(2, channels, height, width)
    coefficients = forward_blocks(error.astype(np.float32), parameters.blocks)
    sent = np.tile(parameters.groups != NOT_SENT, (1, height // parameters.blocks[0], width // parameters.blocks[1]))
    assert 0.4 < np.abs(coefficients[:, sent]).max() <= 0.501


def test_blocks_are_transformed_as_the_cosine_transform_says() -> None:
    planes = np.random.default_rng(4).normal(size=(2, 3, 6, 10)).astype(np.float32)
    found = forward_blocks(planes, (3, 5))
    for row, column in ((0, 0), (1, 1)):
        place = (..., slice(3 * row, 3 * row + 3), slice(5 * column, 5 * column + 5))
        assert np.allclose(found[place], dctn(planes[place], axes=(2, 3), norm="ortho"), atol=1e-5)
    assert np.allclose(inverse_blocks(found, (3, 5)), planes, atol=1e-5)
    assert [block_of(size) for size in (1, 7, 14, 28, 56, 13, 17, 80)] == [1, 7, 14, 14, 14, 13, 1, 10]


def test_what_is_large_is_kept_what_is_larger_saturates_and_what_is_no_number_is_the_mean() -> None:
    array = np.zeros((1, 3, 2, 2), np.float32)
    array[0, 2] = [[1e6, -np.inf], [np.nan, 3e38]]
    decoded = CODEC.decode(CODEC.encode(array), "float32", array.shape)[0, 2]
    assert decoded.reshape(-1).tolist() == [1e6, -(2.0**29), 0.5, 2.0**29]


def test_escapes_that_do_not_belong_to_the_symbols_are_refused() -> None:
    payload = CODEC.encode(np.full((1, 3, 2, 2), 100, np.float32))
    (escapes,) = struct.unpack("<I", payload[4:8])
    assert escapes == 12
    for body in (
        struct.pack("<I", escapes - 1) + payload[8:-4],
        struct.pack("<I", escapes + 1) + payload[8:] + bytes(4),
        struct.pack("<I", 1 << 31) + payload[8:],
    ):
        checksum = zlib.crc32(body, zlib.crc32(struct.pack("<I", 12)))
        with pytest.raises(CodecError, match=r"escapes|damaged"):
            CODEC.decode(struct.pack("<I", checksum) + body, "float32", (1, 3, 2, 2))


@settings(max_examples=300, deadline=None)
@given(words=st.binary(max_size=60).filter(lambda words: len(words) % 4 == 0))
def test_words_with_a_true_checksum_give_an_array_or_an_error(words: bytes) -> None:
    checksum = zlib.crc32(words, zlib.crc32(struct.pack("<I", 12)))
    try:
        decoded = CODEC.decode(struct.pack("<I", checksum) + words, "float32", RAMP.shape)
    except CodecError:
        return
    assert decoded.shape == RAMP.shape
    assert np.isfinite(decoded).all()


def test_an_empty_array_has_a_payload() -> None:
    empty = np.zeros((0, 3, 2, 2), np.float32)
    assert CODEC.decode(CODEC.encode(empty), "float32", empty.shape).shape == (0, 3, 2, 2)
    assert len(CODEC.encode(empty)) == 8


@pytest.mark.parametrize(
    "array", [np.zeros((1, 3, 2, 3), np.float32), np.zeros((1, 3)), np.zeros((1, 3, 2, 2), np.int32)]
)
def test_other_tensors_are_refused(array: codecs.Array) -> None:
    assert not CODEC.accepts(array.dtype.name, array.shape)
    with pytest.raises(CodecError, match=r"takes float32 or float64 of shape \[\?, 3, 2, 2\]"):
        CODEC.encode(array)
    with pytest.raises(CodecError, match=r"takes float32 or float64 of shape \[\?, 3, 2, 2\]"):
        CODEC.decode(bytes(4), array.dtype.name, array.shape)


def broken(**changes: Any) -> dict[str, Any]:
    names = ("shape", "mean", "forward", "inverse", "blocks", "groups", "tables", "tensor", "frames")
    return {name: getattr(PARAMETERS, name) for name in names} | changes


def tables(*sizes: int) -> tuple[codecs.Array, ...]:
    return tuple(np.ones(size, np.uint16) for size in sizes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (broken(mean=np.zeros(4, np.float32)), "have shapes"),
        (broken(shape=(3,)), "needs channels and positions"),
        (broken(shape=(3, 1 << 27)), "too large"),
        (broken(blocks=(2, 3), groups=np.zeros((3, 2, 3), np.uint8)), "do not divide"),
        (broken(groups=np.full((3, 1, 1), 2, np.uint8)), "2 tables names others"),
        (broken(tables=()), "names others, or none"),
        (broken(tables=tables(4, 5)), "wrong size"),
        (broken(tables=tables(5, 8193)), "wrong size"),
        (broken(tables=(np.zeros(5, np.uint16),) * 2), "cannot be written"),
        (broken(mean=np.full(3, np.nan, np.float32)), "not finite"),
        (broken(frames=(b"short",)), "digest"),
    ],
)
def test_parameters_that_do_not_belong_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        TransformParameters(**fields)
