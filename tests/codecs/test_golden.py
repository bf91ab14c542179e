"""What one release wrote every other reads to the same array, and writes alike: a golden payload for every tensor codec
(those of pictures are in test_picture.py, learnt ones in test_transform.py, compressed ones also in test_zstd.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery import codecs

# Zeros, signs, a channel that is constant, numbers that no few bits hold.
ARRAY = np.array([0, 0, 0.5, -1, 2, 3.25, 0, 7.3, 4, 4, 4, 4], np.float32).reshape(1, 3, 4)
# By id: the payload, and what it is read to (float32, little-endian). Written by release 0.1.
GOLDEN: dict[str, tuple[str, str]] = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))

PLAIN = ("raw", "fp16", *(f"int{bits}{by}" for bits in range(3, 9) for by in ("", "c")))
EVERY = (*PLAIN, "zstd", *(f"{name}+zstd" for name in PLAIN if name != "raw"))


def test_every_codec_of_tensors_has_a_golden_payload() -> None:
    assert sorted(GOLDEN) == sorted(EVERY)


@pytest.mark.parametrize("codec", EVERY)
def test_golden_bytes(codec: str) -> None:
    payload, expected = (bytes.fromhex(part) for part in GOLDEN[codec])
    decoded = codecs.decode(codec, payload, "float32", ARRAY.shape)
    assert decoded.tobytes() == expected
    # So few bytes are never smaller compressed, so that no library has a say in them.
    assert codecs.encode(codec, ARRAY) == payload
    if not codecs.get(codec).lossless:
        assert 0 < np.abs(decoded - ARRAY).max() < 8.3 / 2 / 7
    else:
        assert decoded.tobytes() == ARRAY.tobytes()
