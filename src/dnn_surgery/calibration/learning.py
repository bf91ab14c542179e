"""Learns a transform codec from calibration frames: numbers only, no engine.

With S the covariance of the channels over all positions and F the sensitivity of the model's answer to them (a Fisher
matrix), an error e costs e^T F e. In coordinates L^T x with F = L L^T that is the plain square of the error, where the
Karhunen-Loeve transform with one step for all is the best linear transform (Goyal, Theoretical foundations of transform
coding, 2001): the eigenvectors of L^T S L. The cosine transform of the positions that follows keeps squares as they
are. Coefficients of about one size share a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from dnn_surgery.codecs.base import Array
from dnn_surgery.codecs.cosine import block_of, forward_blocks
from dnn_surgery.codecs.transform_file import LARGEST_SYMBOL, NOT_SENT, Counts, TransformParameters, planes_of
from dnn_surgery.errors import InputError

# Directions that the frames at hand did not need may be needed by others: no direction counts less than this share of
# the mean.
_LEAST_SENSITIVITY = 0.01
# Twice as many tables gain nothing (measured: they cost 0.5 %, for want of samples).
_TABLES = 32
# Coefficients that are smaller than this share of a step in the mean are 0 in all frames but a few.
_LEAST_MEAN = 0.01
_LARGEST_COUNT = 65_535

Matrix = NDArray[np.float64]


def learn_transform(
    samples: Sequence[Array],
    *,
    step: float,
    sensitivity: Matrix | None = None,
    tensor: str = "",
    frames: Sequence[bytes] = (),
) -> TransformParameters:
    """Mean, matrices and tables of a transform codec.

    Args:
        samples: the tensor on calibration frames, each [N, C, ...].
        step: of the quantiser, in units of the coefficients' root mean square; about 0.01 (fine) to 1 (coarse).
        sensitivity: [C, C], see :func:`dnn_surgery.execution.sensitivity.channel_sensitivity`; None: all alike.
        tensor: its name. frames: digests of the calibration frames, to be written into the file.

    Raises:
        InputError: there are no samples, they are not alike or constant, or the step is not positive.
        CodecError: tensors of such a shape have no transform.
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
    shape = samples[0].shape[1:]
    _, height, width = planes_of(shape)
    planes = (forward @ centred).reshape(channels, -1, height, width).swapaxes(0, 1).astype(np.float32)
    blocks = (block_of(height), block_of(width))
    coefficients = _by_place(forward_blocks(np.ascontiguousarray(planes), blocks), blocks)
    groups = _grouped(coefficients)
    return TransformParameters(
        shape=shape,
        mean=mean.astype(np.float32),
        forward=forward.astype(np.float32),
        inverse=np.linalg.inv(forward).astype(np.float32),
        blocks=blocks,
        groups=groups,
        tables=tuple(_table(coefficients[:, groups == group]) for group in range(_count(groups))),
        tensor=tensor,
        frames=tuple(frames),
    )


def _by_channel(samples: Sequence[Array]) -> Matrix:
    """[C, positions of all samples], sample by sample."""
    if not samples or any(sample.ndim < 3 or sample.shape[1:] != samples[0].shape[1:] for sample in samples):
        raise InputError("a transform is learnt from samples of one shape [N, C, ...], at least one of them")
    rows = [sample.swapaxes(0, 1).reshape(sample.shape[1], -1) for sample in samples]
    values = np.concatenate(rows, axis=1).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("the samples hold values that are not finite")
    return values


def _by_place(planes: NDArray[np.float32], blocks: tuple[int, int]) -> NDArray[np.float32]:
    """[blocks of all samples, C, high, wide] from planes [N, C, H, W]."""
    high, wide = blocks
    samples, channels, height, width = planes.shape
    apart = planes.reshape(samples, channels, height // high, high, width // wide, wide)
    found: NDArray[np.float32] = apart.transpose(0, 2, 4, 1, 3, 5).reshape(-1, channels, high, wide)
    return found


def _grouped(coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A group for each place [C, high, wide] of coefficients of about one size; those that are always 0 have none."""
    sizes = np.abs(coefficients).mean(axis=0, dtype=np.float64)
    logarithms = np.log2(sizes + 1e-3)
    # Few samples tell a place's size badly, its neighbours in frequency and channel help; the mean of a block stands
    # apart from all other frequencies.
    smooth = uniform_filter(logarithms, size=3, mode="nearest")
    smooth[:, 0, 0] = logarithms[:, 0, 0]
    sent = smooth >= np.log2(_LEAST_MEAN + 1e-3)
    if not sent.any():
        sent[np.unravel_index(smooth.argmax(), smooth.shape)] = True
    bounds = np.unique(np.quantile(smooth[sent], np.arange(1, _TABLES) / _TABLES))
    groups = np.full(smooth.shape, NOT_SENT, np.uint8)
    # Numbered without gaps.
    groups[sent] = np.unique(np.digitize(smooth[sent], bounds), return_inverse=True)[1].reshape(-1)
    return groups


def _count(groups: NDArray[np.uint8]) -> int:
    return int(groups[groups != NOT_SENT].max()) + 1


def _table(coefficients: NDArray[np.float32]) -> Counts:
    """How often each symbol was seen, and a Laplace distribution of as many further symbols as the table has, so that
    what was not seen can be written."""
    steps = np.rint(coefficients)
    largest = float(np.abs(steps).max())
    # The largest is an escape, which other frames may need.
    limit = int(np.clip(largest + 2, 3, LARGEST_SYMBOL))
    symbols = np.clip(steps, -limit, limit).astype(np.int64).reshape(-1) + limit
    seen = np.bincount(symbols, minlength=2 * limit + 1).astype(np.float64)
    scale = max(float(np.abs(coefficients).mean()), 0.1)
    likely = np.exp(-np.abs(np.arange(-limit, limit + 1)) / scale)
    shares = seen + len(seen) * likely / likely.sum()
    counts: Counts = np.maximum(np.rint(shares * (_LARGEST_COUNT / shares.max())), 1).astype(np.uint16)
    return counts
