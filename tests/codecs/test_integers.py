"""Few-bit integers: their exact bytes, the bound on their error, and values that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dnn_surgery import codecs
from dnn_surgery.codecs.bits import pack, packed_bytes, unpack
from dnn_surgery.errors import CodecError

RAMP = np.arange(8, dtype=np.float32).reshape(1, 2, 4)


@pytest.mark.parametrize(
    ("codec", "golden"),
    [
        # One range, 0 to 7 as bfloat16 (0x40e0), then eight symbols.
        ("int8", "0000e040 0024496d92b6dbff"),
        ("int4", "0000e040 2064b9fd"),
        ("int3", "0000e040 88c6fa"),
        # Two ranges: 0 to 3 (0x4040) and 4 (0x4080) to 7.
        ("int8c", "00004040 8040e040 0055aaff0055aaff"),
        ("int5c", "00004040 8040e040 40d50f54fd"),
    ],
)
def test_golden_bytes(codec: str, golden: str) -> None:
    assert codecs.encode(codec, RAMP).hex() == golden.replace(" ", "")
    bits = int(codec[3])
    decoded = codecs.decode(codec, bytes.fromhex(golden), "float32", RAMP.shape)
    assert np.abs(decoded - RAMP).max() <= 3.5 / (2**bits - 1)


@pytest.mark.parametrize("bits", range(1, 9))
@given(data=st.data())
def test_packing_is_undone_and_dense(bits: int, data: st.DataObject) -> None:
    symbols = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40)), np.uint8)
    packed = pack(symbols, bits)
    assert len(packed) == packed_bytes(len(symbols), bits) == -(-len(symbols) * bits // 8)
    assert np.array_equal(unpack(memoryview(packed), len(symbols), bits), symbols)
    # The definition, bit by bit: symbol i takes the bits from i * bits on.
    number = sum(int(symbol) << (bits * index) for index, symbol in enumerate(symbols))
    assert int.from_bytes(packed, "little") == number


@pytest.mark.parametrize("codec", ["int8", "int3c", "int6c+zstd"])
@settings(max_examples=200, deadline=None)
@given(
    array=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_the_error_is_at_most_half_a_step(codec: str, array: codecs.Array) -> None:
    decoded = codecs.decode(codec, codecs.encode(codec, array), "float32", array.shape).astype(float)
    axes = (2,) if "c" in codec.split("+", maxsplit=1)[0] else (0, 1, 2)
    least, greatest = array.min(axes, keepdims=True).astype(float), array.max(axes, keepdims=True).astype(float)
    # Bounds are rounded outwards to 8 significant bits: by 1/128 of each at most.
    width = greatest - least + (np.abs(least) + np.abs(greatest)) / 128
    half_step = width / (2 ** int(codec[3]) - 1) / 2
    assert (np.abs(decoded - array) <= half_step * 1.001 + 1e-6 * np.abs(array) + 3e-35).all()


def test_what_is_no_number_does_no_harm_to_the_rest() -> None:
    array = np.array([[[np.nan, np.inf, -np.inf, 1, 2, 3]], [[np.nan] * 6], [[np.inf] * 6]], np.float32).reshape(
        1, 3, 6
    )
    decoded = codecs.decode("int8c", codecs.encode("int8c", array), "float32", array.shape)
    assert decoded[0, 0].tolist() == pytest.approx([1, 3, 1, 1, 2, 3], abs=0.01)
    assert decoded[0, 1:].tolist() == [[0] * 6] * 2


def test_values_beyond_the_widest_range_saturate() -> None:
    array = np.array([-3.4e38, 0, 3.4e38], np.float32)
    decoded = codecs.decode("int8", codecs.encode("int8", array), "float32", (3,))
    assert np.isfinite(decoded).all()
    assert decoded == pytest.approx([-1.6e38, 0, 1.6e38], rel=0.01, abs=1e36)


def test_half_floats_do_not_overflow() -> None:
    array = np.array([65504, -65504], np.float16)
    assert codecs.decode("int8", codecs.encode("int8", array), "float16", (2,)).tolist() == [65504, -65504]


def test_equal_values_come_back_close() -> None:
    for value in (0.0, 1.0, -3.7, 1e-30, 6.0):
        array = np.full((1, 2, 3), value, np.float32)
        assert codecs.decode("int4c", codecs.encode("int4c", array), "float32", (1, 2, 3)) == pytest.approx(
            array, rel=1e-2
        )


@pytest.mark.parametrize("bounds", ["c07f0000", "0000c07f", "803f0000", "0000807f", "80ff0000", "00007f7f"])
def test_a_range_that_is_none_is_refused(bounds: str) -> None:
    with pytest.raises(CodecError, match="a range that is none"):
        codecs.decode("int8", bytes.fromhex(bounds) + bytes(3), "float32", (3,))


@pytest.mark.parametrize(
    ("codec", "array"),
    [
        ("int8", np.zeros(3, np.int32)),
        ("int8", np.zeros(3, np.uint8)),
        ("int8c", np.zeros((1, 3), np.float32)),
        ("int4c+zstd", np.zeros((1, 3), np.float32)),
        ("fp16", np.zeros(3, np.float16)),
        ("fp16+zstd", np.zeros(3, np.int64)),
    ],
)
def test_what_a_codec_does_not_take(codec: str, array: codecs.Array) -> None:
    assert not codecs.get(codec).accepts(array.dtype.name, array.shape)
    for call in (lambda: codecs.encode(codec, array), lambda: codecs.decode(codec, b"", array.dtype.name, array.shape)):
        with pytest.raises(CodecError, match="takes float"):
            call()


def test_half_precision_saturates_and_keeps_what_is_no_number() -> None:
    array = np.array([1e6, -1e6, np.inf, -np.inf, np.nan, 1.0, 65519.0], np.float32)
    payload = codecs.encode("fp16", array)
    assert payload.hex() == "ff7bfffb007c00fc007e003cff7b"
    decoded = codecs.decode("fp16", payload, "float32", (7,))
    assert decoded.tolist()[:4] == [65504, -65504, np.inf, -np.inf]
    assert np.isnan(decoded[4])
