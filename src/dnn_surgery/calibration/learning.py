"""Learns a transform codec from calibration frames: numbers only, no engine.

With S the covariance of the channels over all positions and F the sensitivity of the model's answer to them (a Fisher
matrix), an error e costs e^T F e. In coordinates L^T x with F = L L^T that is the plain square of the error, where the
Karhunen-Loeve transform with one step for all is the best linear transform (Goyal, Theoretical foundations of transform
coding, 2001): the eigenvectors of L^T S L.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.codecs.base import Array
from dnn_surgery.codecs.transform import TransformParameters
from dnn_surgery.errors import InputError

# Directions that the frames at hand did not need may be needed by others: no direction counts less than this share of
# the mean.
_LEAST_SENSITIVITY = 0.01
_LARGEST_SYMBOL = 127
_TABLE_SUM = 40_000  # counts are scaled to about this, well within 16 bits

Matrix = NDArray[np.float64]


def learn_transform(samples: Sequence[Array], *, step: float, sensitivity: Matrix | None = None) -> TransformParameters:
    """Mean, matrices and tables of a transform codec.

    Args:
        samples: the tensor on calibration frames, each [N, C, ...].
        step: of the quantiser, in units of the coefficients' root mean square; about 0.1 (fine) to 2 (coarse).
        sensitivity: [C, C], see :func:`dnn_surgery.execution.sensitivity.channel_sensitivity`; None: all alike.

    Raises:
        InputError: there are no samples, they are not alike or constant, or the step is not positive.
    """
    values = _by_channel(samples)
    channels = len(values)
    if not (np.isfinite(step) and step > 0):
        raise InputError(f"the step of a transform must be positive, got {step}")
    weights = np.eye(channels) if sensitivity is None else sensitivity
    if weights.shape != (channels, channels):
        raise InputError(f"the sensitivity has shape {list(weights.shape)}, expected {[channels, channels]}")
    mean = values.mean(axis=1)
    centred = values - mean[:, np.newaxis]
    covariance = centred @ centred.T / values.shape[1]
    least = max(np.trace(weights) / channels, np.finfo(float).tiny) * _LEAST_SENSITIVITY
    factor = np.linalg.cholesky(weights + np.eye(channels) * least)
    strength, vectors = np.linalg.eigh(factor.T @ covariance @ factor)
    unit = step * float(np.sqrt(max(strength.mean(), 0.0)))
    if not unit > 0:
        raise InputError("the samples are constant: there is nothing to learn")
    # eigh sorts upwards; the strongest coefficient comes first.
    forward = vectors[:, ::-1].T @ factor.T / unit
    symbols = np.rint(forward @ centred)
    return TransformParameters(
        mean=mean.astype(np.float32),
        forward=forward.astype(np.float32),
        inverse=np.linalg.inv(forward).astype(np.float32),
        counts=_tables(symbols),
    )


def _by_channel(samples: Sequence[Array]) -> Matrix:
    """[C, positions of all samples]."""
    if not samples or any(sample.ndim < 3 or sample.shape[1:] != samples[0].shape[1:] for sample in samples):
        raise InputError("a transform is learnt from samples of one shape [N, C, ...], at least one of them")
    rows = [sample.swapaxes(0, 1).reshape(sample.shape[1], -1) for sample in samples]
    values = np.concatenate(rows, axis=1).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("the samples hold values that are not finite")
    return values


def _tables(symbols: Matrix) -> NDArray[np.uint16]:
    """How often each channel has each symbol, smoothed over the neighbours, so that what was not seen can be written.

    The largest symbol leaves half as much room again as the frames needed.
    """
    limit = int(np.clip(np.ceil(1.5 * np.abs(symbols).max()) + 1, 3, _LARGEST_SYMBOL))
    clipped = np.clip(symbols, -limit, limit).astype(np.int64) + limit
    width = 2 * limit + 1
    tables = np.stack([np.bincount(row, minlength=width) for row in clipped]).astype(np.float64)
    kernel = np.array([0.05, 0.9, 0.05])
    smooth = np.stack([np.convolve(row, kernel, mode="same") for row in tables])
    scaled = np.rint(smooth / smooth.sum(axis=1, keepdims=True) * _TABLE_SUM)
    counts: NDArray[np.uint16] = np.maximum(scaled, 1).astype(np.uint16)
    return counts
