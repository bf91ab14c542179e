"""Half precision: golden bytes, and what lies beyond its range."""

from __future__ import annotations

import numpy as np

from dnn_surgery import codecs


def test_golden_bytes() -> None:
    array = np.array([1.0, -2.5, 1e6, -np.inf, 2.0**-24], np.float32)
    golden = "003c 00c1 ff7b 00fc 0100".replace(" ", "")
    assert codecs.encode("fp16", array).hex() == golden
    decoded = codecs.decode("fp16", bytes.fromhex(golden), "float32", (5,))
    assert decoded.tolist() == [1.0, -2.5, 65504.0, -np.inf, 2.0**-24]
