"""What a codec makes of a tensor on one device: a record of plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodecMeasure:
    """A tensor with a codec over `frames` real frames: bytes (mean and 95th percentile), median seconds here.

    `lossless` says that the tensor arrives bit for bit.
    """

    tensor: str
    codec: str
    lossless: bool
    frames: int
    mean_bytes: float
    p95_bytes: float
    encode_s: float
    decode_s: float
