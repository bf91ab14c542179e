"""Arrays as they lie in memory when they come from a message or a camera."""

from __future__ import annotations

import numpy as np

from dnn_surgery.execution.engine import Array

# Engines align their own tensors to 64 bytes and copy what lies otherwise; inside a message anything may lie anywhere.
_ALIGNMENT, _OFFSET = 64, 20


def as_received(array: Array) -> Array:
    """A C-ordered copy at an address that no engine would have chosen; the alignment of its type is kept.

    Measuring with arrays that an engine made itself would miss the copy that it makes of received ones.
    """
    memory = np.empty(array.nbytes + 2 * _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT + _OFFSET // array.itemsize * array.itemsize
    view: Array = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view
