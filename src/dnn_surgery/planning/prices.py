"""What one unit of each column of a partition costs: every linear objective is such a vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnn_surgery.errors import InputError
from dnn_surgery.planning.link import Link


@dataclass(frozen=True, slots=True)
class Prices:
    """Price of an edge second, a byte up, a cloud second, sending at all, a byte of edge parameters, a byte down."""

    edge_s: float
    up_byte: float
    cloud_s: float
    sent: float = 0.0
    param_byte: float = 0.0
    down_byte: float = 0.0

    @property
    def travel(self) -> tuple[float, float, float]:
        """What prices a codec: an edge second, a byte up, a cloud second."""
        return self.edge_s, self.up_byte, self.cloud_s

    @property
    def vector(self) -> npt.NDArray[np.float64]:
        """The prices as an array [6] in the order of the columns."""
        return np.array([*self.travel, self.sent, self.param_byte, self.down_byte], dtype=np.float64)

    @classmethod
    def latency(cls, link: Link, edge_load: float = 1.0, cloud_load: float = 1.0) -> Prices:
        """Prices in seconds: the paper's T_e + T_t + T_c, and the round trip and the result's way back."""
        check_load("edge", edge_load)
        check_load("cloud", cloud_load)
        return cls(edge_load, link.up_byte_s, cloud_load, link.rtt_s, 0.0, link.down_byte_s)


def check_load(side: str, value: float) -> None:
    """Raises InputError unless a load factor is a positive, finite number."""
    if not (math.isfinite(value) and 0 < value <= 1e9):
        raise InputError(f"the {side}'s load factor must be positive and finite, got {value}")
