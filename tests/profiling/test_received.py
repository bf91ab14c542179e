from __future__ import annotations

import numpy as np
import pytest

from dnn_surgery.profiling.received import as_received


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (3, 5), (0, 2)])
def test_the_same_values_at_an_address_that_no_engine_chooses(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape).astype(dtype)
    received = as_received(array)
    assert received.dtype == array.dtype
    assert np.array_equal(received, array)
    assert received.shape == array.shape
    assert not received.size or received.ctypes.data % 64 != 0  # what is empty lies nowhere
    assert received.flags.aligned and received.flags.c_contiguous


def test_views_are_copied_in_their_order() -> None:
    array = np.arange(6).reshape(2, 3).T
    assert np.array_equal(as_received(array), array)
