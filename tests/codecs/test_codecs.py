"""What every codec promises, run over all of them: round trips, strangers' payloads, ids."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnn_surgery import codecs
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.errors import CodecError
from tests.codecs.transforms import example_parameters

Array = codecs.Array


@dataclass(frozen=True)
class Case:
    """A codec and an array it takes; `loss` is the mean absolute error that is allowed."""

    codec: str
    array: Array
    loss: float = 0.0

    @property
    def dtype(self) -> str:
        return self.array.dtype.name

    def encode(self) -> bytes:
        return codecs.encode(self.codec, self.array)

    def decode(self, payload: codecs.Payload) -> Array:
        return codecs.decode(self.codec, payload, self.dtype, self.array.shape)


def smooth_picture(height: int, width: int) -> Array:
    """Waves, as real pictures are: neighbouring pixels are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [np.sin(rows / 9 + k) * 60 + np.cos(columns / 11 - k) * 60 + 128 for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)[np.newaxis]


def noise(shape: tuple[int, ...], dtype: str) -> Array:
    draw = np.random.default_rng(len(shape))
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return draw.integers(0, 2, shape).astype(bool)
    if kind.kind == "c":
        return (draw.normal(size=shape) + 1j * draw.normal(size=shape)).astype(kind)
    return draw.normal(scale=50, size=shape).astype(kind)


def activations(shape: tuple[int, ...]) -> Array:
    """As after ReLU6: a good part zeros, the rest bounded."""
    return np.clip(np.random.default_rng(6).normal(scale=4, size=shape), 0, 6).astype(np.float32)


KLT = Transform(example_parameters((8, 9, 6)))
KLT_OF_ROWS = Transform(example_parameters((8, 10)))
for learnt in (KLT, KLT_OF_ROWS):
    codecs.register(learnt)

RAW_DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "float16",
    "float32",
    "float64",
    "complex64",
]
CASES = [
    *(Case("raw", noise((2, 3, 5), dtype)) for dtype in RAW_DTYPES),
    Case("raw", np.array([np.nan, np.inf, -0.0, 1e-45], dtype=np.float32)),
    Case("raw", np.zeros((0, 4), np.float32)),
    Case("raw", np.float32(3.5).reshape(())),
    Case("raw", noise((4, 6), "float32").T),
    Case("raw", np.arange(5, dtype=">i4")),
    Case("png", smooth_picture(40, 56)),
    Case("png", noise((1, 7, 9, 3), "uint8")),
    Case("png", smooth_picture(40, 56)[:, ::-1, ::2]),
    Case("webp-lossless", smooth_picture(40, 56)),
    Case("webp-lossless", noise((1, 7, 9, 3), "uint8")),
    Case("webp-lossless", smooth_picture(40, 56)[:, ::-1, ::2]),
    Case("zstd", noise((2, 3, 5), "float32")),
    *(
        Case("zstd", (noise((2, 3, 50), dtype) * (noise((2, 3, 50), "float32") > 0)).astype(dtype))
        for dtype in RAW_DTYPES
    ),
    Case("zstd", np.array([np.nan, np.inf, -0.0, 1e-45], dtype=np.float32)),
    Case("zstd", np.zeros((0, 4), np.float32)),
    Case("zstd", np.zeros((1, 4, 8, 8), np.float32)),
    Case("zstd", np.float32(3.5).reshape(())),
    Case("zstd", noise((4, 6), "float32").T),
    Case("fp16", noise((2, 3, 5), "float32"), loss=0.02),
    Case("fp16", noise((4, 6), "float64").T, loss=0.02),
    Case("fp16", noise((7, 9), ">f4"), loss=0.02),
    Case("fp16+zstd", activations((1, 8, 9, 6)), loss=0.02),
    *(Case(f"int{bits}", noise((2, 3, 5), "float32"), loss=100 / 2**bits) for bits in range(3, 9)),
    *(Case(f"int{bits}c", noise((1, 5, 7, 3), "float32"), loss=100 / 2**bits) for bits in range(3, 9)),
    *(Case(f"int{bits}c+zstd", activations((1, 8, 9, 6)), loss=100 / 2**bits) for bits in range(3, 9)),
    Case("int8", noise((4, 6), "float64").T, loss=1.0),
    Case("int8", noise((5,), "float16"), loss=1.0),
    Case("int3+zstd", noise((1, 11, 3), "float16"), loss=15.0),
    Case("int4c", noise((2, 3, 5, 6), "float32")[:, ::-1, ::2], loss=6.0),
    Case(KLT.id, activations((1, 8, 9, 6)), loss=0.5),
    Case(KLT_OF_ROWS.id, activations((2, 8, 10)).astype(np.float64), loss=0.5),
    Case("webp90", smooth_picture(40, 56), loss=3.0),
    Case("webp1", smooth_picture(64, 224), loss=20.0),
    Case("jpeg95", smooth_picture(40, 56), loss=2.0),
    Case("jpeg75", smooth_picture(40, 56), loss=4.0),
    Case("jpeg75-444", smooth_picture(40, 56), loss=4.0),
    Case("jpeg100", smooth_picture(1, 1), loss=4.0),
    Case("jpeg1", smooth_picture(224, 224), loss=60.0),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.codec}-{case.dtype}-{case.array.shape}")


@each_case
def test_a_round_trip_loses_no_more_than_it_says(case: Case) -> None:
    before = case.array.copy()
    decoded = case.decode(case.encode())
    assert decoded.dtype == case.array.dtype.newbyteorder("=")
    assert decoded.dtype.isnative
    assert decoded.shape == case.array.shape
    assert decoded.flags.c_contiguous
    if codecs.get(case.codec).lossless:
        assert case.loss == 0
        assert decoded.tobytes() == np.ascontiguousarray(case.array, dtype=decoded.dtype).tobytes()
    else:
        assert 0 < np.abs(decoded.astype(float) - case.array).mean() < case.loss
    assert case.array.tobytes() == before.tobytes()


@each_case
def test_encoding_is_repeatable(case: Case) -> None:
    assert case.encode() == case.encode()


@each_case
def test_the_codec_accepts_what_it_can_carry(case: Case) -> None:
    assert codecs.get(case.codec).accepts(case.dtype, case.array.shape)


@each_case
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_payload_may_be_any_buffer(case: Case, kind: Any) -> None:
    payload = case.encode()
    assert case.decode(kind(payload)).tobytes() == case.decode(payload).tobytes()


@each_case
def test_every_truncated_payload_is_refused(case: Case) -> None:
    payload = case.encode()
    step = max(1, len(payload) // 500)
    for length in range(0, len(payload), step):
        with pytest.raises(CodecError):
            case.decode(payload[:length])
    if payload:
        with pytest.raises(CodecError):
            case.decode(payload[:-1])


@each_case
def test_trailing_bytes_are_refused(case: Case) -> None:
    for extra in (b"\0", case.encode() or b"x", b"\xff" * 100):
        with pytest.raises(CodecError):
            case.decode(case.encode() + extra)


@each_case
def test_a_payload_of_another_shape_is_refused(case: Case) -> None:
    other = (*case.array.shape[:-1], 7) if case.array.shape else (2,)
    picture = (1, case.array.shape[1] + 1, *case.array.shape[2:]) if case.array.ndim == 4 else other
    for shape in {other, picture}:
        if 0 in shape:
            continue
        with pytest.raises(CodecError):
            codecs.decode(case.codec, case.encode(), case.dtype, shape)


TELLS_SIZES = re.compile("raw|fp16|png|jpeg[0-9]+(-444)?|webp([0-9]+|-lossless)")


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.array.ndim and TELLS_SIZES.fullmatch(case.codec)],
    ids=lambda case: case.codec,
)
def test_a_varying_batch_is_told_by_the_payload(case: Case) -> None:
    decoded = codecs.decode(case.codec, case.encode(), case.dtype, (None, *case.array.shape[1:]))
    assert decoded.shape == case.array.shape


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.array.ndim and not TELLS_SIZES.fullmatch(case.codec)],
    ids=lambda case: case.codec,
)
def test_a_payload_that_does_not_tell_sizes_is_not_decoded_without_them(case: Case) -> None:
    with pytest.raises(CodecError, match="every size must be known"):
        codecs.decode(case.codec, case.encode(), case.dtype, (None, *case.array.shape[1:]))


@pytest.mark.parametrize(
    "codec",
    [
        "raw",
        "png",
        "jpeg75",
        "jpeg75-444",
        "webp75",
        "webp-lossless",
        KLT.id,
        "fp16",
        "zstd",
        "int3",
        "int8c",
        "fp16+zstd",
        "int4c+zstd",
        "int7+zstd",
    ],
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
@given(payload=st.binary(max_size=400), shape=st.lists(st.none() | st.integers(0, 6), max_size=5))
def test_any_bytes_give_the_shape_asked_for_or_a_codec_error(
    codec: str, payload: bytes, shape: list[int | None]
) -> None:
    for dtype in ("uint8", "float32", "bool", "float16"):
        check_hostile(codec, payload, dtype, tuple(shape))


DAMAGED = [case for case in CASES if case.codec not in ("raw", "fp16") and case.array.size]


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: f"{case.codec}-{case.dtype}-{case.array.shape}")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
@given(data=st.data())
def test_a_damaged_payload_gives_the_shape_asked_for_or_a_codec_error(case: Case, data: st.DataObject) -> None:
    payload = bytearray(case.encode())
    # Half of the damage goes to the first 700 bytes, where the headers and tables are.
    place = st.integers(0, len(payload) - 1) | st.integers(0, min(len(payload), 700) - 1)
    for at in data.draw(st.lists(place, min_size=1, max_size=8)):
        payload[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(payload)))
    check_hostile(case.codec, bytes(payload[:cut]), case.dtype, case.array.shape)


def check_hostile(codec: str, payload: bytes, dtype: str, shape: tuple[int | None, ...]) -> None:
    try:
        decoded = codecs.decode(codec, payload, dtype, shape)
    except CodecError as error:
        assert "\n" not in str(error)
        return
    assert decoded.dtype == np.dtype(dtype)
    assert len(decoded.shape) == len(shape)
    assert all(expected in (None, size) for expected, size in zip(shape, decoded.shape, strict=True))


@each_case
def test_decoding_takes_little_memory_beside_array_and_payload(case: Case) -> None:
    payload = case.encode()
    case.decode(payload)  # plugins are loaded
    tracemalloc.start()
    case.decode(payload)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 * case.array.nbytes + 4 * len(payload) + 200_000


IDS = [
    KLT.id,
    "fp16",
    "int3",
    "int8c",
    "zstd",
    "fp16+zstd",
    "int8c+zstd",
    "int5+zstd",
    "webp1",
    "webp100",
    "webp-lossless",
]
WRONG_IDS = [
    *("klt-0123456789abcdef", f"{KLT.id}+zstd"),
    *(
        "int2",
        "int9",
        "int8d",
        "int08",
        "webp0",
        "webp",
        "+zstd",
        "raw+zstd",
        "zstd+zstd",
        "png+zstd",
        "int8+zstd+zstd",
    ),
    *("int8+", "fp16c", "fp32", "int8c zstd"),
]


@pytest.mark.parametrize("codec_id", [*IDS, "raw", "png", "jpeg1", "jpeg75", "jpeg95", "jpeg100", "jpeg9-444"])
def test_a_codec_is_found_by_its_id(codec_id: str) -> None:
    assert codecs.get(codec_id).id == codec_id


@pytest.mark.parametrize(
    "codec_id",
    [
        "",
        "RAW",
        "jpeg",
        "jpeg0",
        "jpeg095",
        "jpeg101",
        "jpeg95 ",
        "jpeg95-422",
        "jpeg0-444",
        "webp9-lossless",
        "jpeg٩",
        "x" * 9999,
        *WRONG_IDS,
    ],
)
def test_other_ids_are_unknown(codec_id: str) -> None:
    with pytest.raises(CodecError, match="unknown codec") as caught:
        codecs.get(codec_id)
    assert len(str(caught.value)) < 250


def test_which_codecs_lose_nothing() -> None:
    every = [*IDS, "raw", "png", "jpeg100"]
    assert [codec_id for codec_id in every if codecs.get(codec_id).lossless] == ["zstd", "webp-lossless", "raw", "png"]
