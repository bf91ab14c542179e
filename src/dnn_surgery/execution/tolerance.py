"""How far an engine may be from the reference, and how far it is."""

from __future__ import annotations

import numpy as np

from dnn_surgery.execution.engine import Array

# Engines that fuse and reorder sums differ by up to some 1e-5 of the range; what is beyond this is another result.
TOLERANCE = 1e-3

# Rounding of numbers near 1 shows as some 1e-7, however small the result: a detector's map of probabilities that sees
# nothing has a range of 1e-5. Ranges below this one count as this one.
_LEAST_RANGE = 1e-3


def deviation(value: Array, reference: Array) -> float:
    """The largest difference, relative to the reference's range; for whole numbers the share that differs.

    Infinite where shapes differ, or one side is not finite where the other one is.
    """
    if value.shape != reference.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    if reference.dtype.kind in "iub":
        return float(np.mean(value != reference))
    one, other = value.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(other)
    if not np.array_equal(finite, np.isfinite(one)) or not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    one, other = one[finite], other[finite]
    # Of a constant tensor the range is nothing; then its size is the measure.
    measure = max(float(other.max() - other.min()) or float(np.abs(other).max()), _LEAST_RANGE)
    return float(np.abs(one - other).max()) / measure
