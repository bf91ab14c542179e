"""Parameters of a transform, made without learning."""

from __future__ import annotations

import numpy as np

from dnn_surgery.codecs.cosine import block_of
from dnn_surgery.codecs.transform import TransformParameters
from dnn_surgery.codecs.transform_file import NOT_SENT, planes_of


def example_parameters(
    shape: tuple[int, ...], limit: int = 20, *, blocks: tuple[int, int] | None = None
) -> TransformParameters:
    """Each coefficient is a channel and half of its neighbour, in steps of 1 / 2; small symbols are likely.

    Means of blocks have a table of their own; the last coefficient of a block that has others is not sent.
    """
    channels, height, width = planes_of(shape)
    high, wide = blocks or (block_of(height), block_of(width))
    matrix = 2 * (np.eye(channels) + np.eye(channels, k=1) / 2)
    groups = np.ones((channels, high, wide), np.uint8)
    groups[:, 0, 0] = 0
    if high * wide > 1:
        groups[-1, -1, -1] = NOT_SENT
    tables = [1 + 1000 // (1 + np.abs(np.arange(-end, end + 1))) for end in (limit, max(3, limit // 2))]
    return TransformParameters(
        shape=shape,
        mean=(np.arange(channels) / 4).astype(np.float32),
        forward=matrix.astype(np.float32),
        inverse=np.linalg.inv(matrix).astype(np.float32),
        blocks=(high, wide),
        groups=groups,
        tables=tuple(table.astype(np.uint16) for table in tables),
        tensor="middle",
        frames=(bytes(range(8)),),
    )
