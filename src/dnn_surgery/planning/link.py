"""The link between the edge and the cloud, as planning sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dnn_surgery.errors import InputError

# Beyond these a transfer time could no longer be told from zero or infinity in float64 arithmetic.
SLOWEST_BPS = 1e-6
FASTEST_BPS = 1e18
LONGEST_RTT_S = 1e9


@dataclass(frozen=True, slots=True)
class Link:
    """A link: bits per second up, seconds for a round trip, bits per second down.

    Without `download_bps` the way back of the result costs nothing, as in the paper.

    Raises:
        InputError: a bandwidth is not positive and finite, or the round trip is negative.
    """

    bandwidth_bps: float
    rtt_s: float = 0.0
    download_bps: float | None = None

    def __post_init__(self) -> None:
        _check_bandwidth("bandwidth", self.bandwidth_bps)
        if self.download_bps is not None:
            _check_bandwidth("download bandwidth", self.download_bps)
        if not 0 <= self.rtt_s <= LONGEST_RTT_S:
            raise InputError(f"the round-trip time must be a number of seconds, 0 or more, got {self.rtt_s}")

    @property
    def up_byte_s(self) -> float:
        """Seconds that one byte takes up."""
        return 8.0 / self.bandwidth_bps

    @property
    def down_byte_s(self) -> float:
        """Seconds that one byte takes down; 0 where the way down is not counted."""
        return 0.0 if self.download_bps is None else 8.0 / self.download_bps


def _check_bandwidth(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"the {what} must be positive and finite, got {value} bit/s")
    if not SLOWEST_BPS <= value <= FASTEST_BPS:
        raise InputError(f"the {what} must be between {SLOWEST_BPS:g} and {FASTEST_BPS:g} bit/s, got {value:g}")
