"""Raw bytes: their exact form, and how a varying size is told from them."""

import numpy as np
import pytest

from dnn_surgery import codecs
from dnn_surgery.errors import CodecError


def test_the_bytes_are_little_endian_in_c_order() -> None:
    array = np.array([[1.0, -2.0], [0.5, 3.0]], dtype=np.float32)
    golden = bytes.fromhex("0000803f 000000c0 0000003f 00004040")
    assert codecs.encode("raw", array) == golden
    assert codecs.encode("raw", array.astype(">f4")) == golden
    assert codecs.encode("raw", np.asfortranarray(array)) == golden
    assert codecs.decode("raw", golden, "float32", (2, 2)).tolist() == array.tolist()


@pytest.mark.parametrize(
    ("array", "golden"),
    [
        (np.array([258, -1], dtype=np.int64), "0201000000000000ffffffffffffffff"),
        (np.array([True, False]), "0100"),
        (np.array([1.5], dtype=np.float16), "003e"),
        (np.array([0x3F80], dtype=np.uint16), "803f"),
    ],
)
def test_golden_bytes(array: codecs.Array, golden: str) -> None:
    assert codecs.encode("raw", array).hex() == golden


def test_bfloat16_is_held_as_uint16() -> None:
    decoded = codecs.decode("raw", bytes.fromhex("803f"), "bfloat16", (1,))
    assert decoded.dtype == np.uint16
    assert decoded[0] == 0x3F80


def test_decoding_copies_nothing() -> None:
    payload = bytes(64)
    assert np.shares_memory(codecs.decode("raw", payload, "float32", (4, 4)), np.frombuffer(payload, np.uint8))


@pytest.mark.parametrize("elements", [0, 6, 12])
def test_the_size_that_varies_may_stand_anywhere(elements: int) -> None:
    payload = bytes(4 * elements)
    assert codecs.decode("raw", payload, "float32", (None, 2, 3)).shape == (elements // 6, 2, 3)
    assert codecs.decode("raw", payload, "float32", (2, None, 3)).shape == (2, elements // 6, 3)


@pytest.mark.parametrize("shape", [(None, None), (None, 0), (-1, 4), (None, -4)])
def test_sizes_that_cannot_be_told(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(CodecError, match="cannot tell the sizes of shape"):
        codecs.decode("raw", bytes(16), "float32", shape)


def test_messages_name_what_came_and_what_was_expected() -> None:
    with pytest.raises(CodecError, match=r"payload holds 3 elements, expected shape \[\?, 2\]"):
        codecs.decode("raw", bytes(12), "float32", (None, 2))
    with pytest.raises(CodecError, match="of 13 bytes is no whole number of float32 elements"):
        codecs.decode("raw", bytes(13), "float32", (3,))


def test_a_boolean_is_zero_or_one() -> None:
    with pytest.raises(CodecError, match="other than 0 and 1"):
        codecs.decode("raw", b"\0\1\2", "bool", (3,))


@pytest.mark.parametrize("dtype", ["object", "str", "datetime64", "float128", "O", "<f4", "nonsense", "S4"])
def test_what_cannot_be_sent(dtype: str) -> None:
    assert not codecs.get("raw").accepts(dtype, (4,))
    with pytest.raises(CodecError, match="cannot be sent"):
        codecs.decode("raw", bytes(16), dtype, (4,))


def test_objects_are_not_encoded() -> None:
    with pytest.raises(CodecError, match="datatype 'object' cannot be sent"):
        codecs.encode("raw", np.array([object()]))
