"""What is wanted of a plan, beside the problem and the link."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from dnn_surgery.errors import InputError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.plan import Objective
from dnn_surgery.planning.prices import check_load


@dataclass(frozen=True, slots=True)
class Goal:
    """The objective, the rate of frames to keep up with (None: single frames), and how loaded each side is.

    Raises:
        InputError: an unknown objective, a rate or load that is not positive and finite.
    """

    objective: Objective = "latency"
    rate_hz: float | None = None
    edge_load: float = 1.0
    cloud_load: float = 1.0

    def __post_init__(self) -> None:
        known = get_args(Objective)
        if self.objective not in known:
            raise InputError(
                f"unknown objective {self.objective!r}, expected one of {', '.join(known)}{near(self.objective, known)}"
            )
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise InputError(f"the rate must be a positive number of frames a second, got {self.rate_hz}")
        check_load("edge", self.edge_load)
        check_load("cloud", self.cloud_load)

    @property
    def loads(self) -> tuple[float, float]:
        """The load factors of edge and cloud."""
        return self.edge_load, self.cloud_load
