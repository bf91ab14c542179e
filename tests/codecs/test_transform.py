"""The learnt transform: golden bytes, its file, values at and beyond its edge."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery import codecs
from dnn_surgery.codecs.transform import Transform, TransformParameters
from dnn_surgery.errors import CodecError
from tests.codecs.transforms import example_parameters

PARAMETERS = example_parameters(3, limit=5)
CODEC = Transform(PARAMETERS)
RAMP = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2) / 8


def test_golden_bytes() -> None:
    # Multiples of 1/8 and these matrices are exact in float32, so no machine may differ.
    assert CODEC.id == "klt-b87002f05cf71db4"
    assert CODEC.encode(RAMP).hex() == "d9cd561c953d728ed84b5747"
    decoded = CODEC.decode(bytes.fromhex("d9cd561c953d728ed84b5747"), "float32", RAMP.shape)
    assert np.abs(decoded - RAMP).max() <= 0.5


def test_a_file_holds_the_parameters_and_the_id_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "block5.klt"
    path.write_bytes(PARAMETERS.to_bytes())
    loaded = TransformParameters.load(path)
    assert loaded.to_bytes() == PARAMETERS.to_bytes()
    assert Transform(loaded).id == CODEC.id
    assert Transform(example_parameters(3, limit=6)).id != CODEC.id
    with pytest.raises(CodecError, match="cannot read the transform"):
        TransformParameters.load(tmp_path / "none")


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
    fresh = Transform(example_parameters(4, limit=9))
    with pytest.raises(CodecError, match="unknown codec"):
        codecs.get(fresh.id)
    codecs.register(fresh)
    assert codecs.get(fresh.id) is fresh


def test_the_error_is_at_most_half_a_step_in_coefficients() -> None:
    array = np.random.default_rng(2).uniform(-1, 1, (1, 3, 40)).astype(np.float32)
    decoded = CODEC.decode(CODEC.encode(array), "float32", array.shape)
    error = PARAMETERS.forward @ (decoded - array)[0]
    assert 0.4 < np.abs(error).max() <= 0.5001


def test_what_is_too_large_saturates_and_what_is_no_number_is_the_mean() -> None:
    array = np.zeros((1, 3, 4), np.float32)
    array[0, 2] = [1e9, -np.inf, np.nan, 3e38]
    decoded = CODEC.decode(CODEC.encode(array), "float32", array.shape)[0, 2]
    assert decoded.tolist() == [0.5 + 2.5, 0.5 - 2.5, 0.5, 0.5 + 2.5]


@settings(max_examples=300, deadline=None)
@given(words=st.binary(max_size=60).filter(lambda words: len(words) % 4 == 0))
def test_words_with_a_true_checksum_give_an_array_or_an_error(words: bytes) -> None:
    checksum = zlib.crc32(words, zlib.crc32(struct.pack("<I", 10)))
    try:
        decoded = CODEC.decode(struct.pack("<I", checksum) + words, "float32", (1, 3, 10))
    except CodecError:
        return
    assert decoded.shape == (1, 3, 10)
    assert np.isfinite(decoded).all()


def test_an_empty_array_has_a_payload() -> None:
    empty = np.zeros((0, 3, 5), np.float32)
    assert CODEC.decode(CODEC.encode(empty), "float32", empty.shape).shape == (0, 3, 5)
    assert len(CODEC.encode(empty)) == 4


@pytest.mark.parametrize("array", [np.zeros((1, 4, 5), np.float32), np.zeros((1, 3)), np.zeros((1, 3, 2), np.int32)])
def test_other_tensors_are_refused(array: codecs.Array) -> None:
    assert not CODEC.accepts(array.dtype.name, array.shape)
    with pytest.raises(CodecError, match="takes float32 or float64 of 3 channels"):
        CODEC.encode(array)
    with pytest.raises(CodecError, match="takes float32 or float64 of 3 channels"):
        CODEC.decode(bytes(4), array.dtype.name, array.shape)


def broken(**changes: codecs.Array) -> dict[str, codecs.Array]:
    good = {name: getattr(PARAMETERS, name) for name in ("mean", "forward", "inverse", "counts")}
    return good | changes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (broken(mean=np.zeros(4, np.float32)), "have shapes"),
        (broken(counts=np.ones((3, 4), np.uint16)), "4 symbols"),
        (broken(counts=np.ones((3, 257), np.uint16)), "257 symbols"),
        (broken(counts=np.zeros((3, 5), np.uint16)), "count is 0"),
        (broken(mean=np.full(3, np.nan, np.float32)), "not finite"),
    ],
)
def test_parameters_that_do_not_belong_together(fields: dict[str, codecs.Array], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        TransformParameters(**fields)
