"""Parameters of a transform, made without learning."""

from __future__ import annotations

import numpy as np

from dnn_surgery.codecs.transform import TransformParameters


def example_parameters(channels: int, limit: int = 20) -> TransformParameters:
    """Each coefficient is a channel and half of its neighbour, in steps of 1 / 2; small symbols are likely."""
    matrix = 2 * (np.eye(channels) + np.eye(channels, k=1) / 2)
    likely = 1 + 1000 // (1 + np.abs(np.arange(-limit, limit + 1)))
    return TransformParameters(
        mean=(np.arange(channels) / 4).astype(np.float32),
        forward=matrix.astype(np.float32),
        inverse=np.linalg.inv(matrix).astype(np.float32),
        counts=np.tile(likely, (channels, 1)).astype(np.uint16),
    )
