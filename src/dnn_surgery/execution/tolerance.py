"""How far an engine may be from the reference, and how far it is."""

from __future__ import annotations

import numpy as np

from dnn_surgery.execution.engine import Array

# Engines that fuse and reorder sums differ by up to some 1e-5 of the range; what is beyond this is another result.
TOLERANCE = 1e-3

# Some kernels round relative to 1, however small the result: a sigmoid's is then off by one rounding of float32 at 1,
# 1.2e-7. On noise a text detector's map of probabilities is nowhere above 1.1e-6, of which that is 11 %; on text its
# range is 1 and the same sessions differ by 1e-5. So ranges below this one count as this one: with the tolerance above
# they may be off by 1e-6, eight such roundings. The price is that a tensor whose every value is smaller is not checked.
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
