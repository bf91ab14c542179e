"""What is wanted of a plan, beside the problem and the link: an objective, a rate, limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import get_args

from dnn_surgery.errors import InputError, UnitError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Objective, Plan
from dnn_surgery.planning.prices import Prices, check_load
from dnn_surgery.units import parse_size

_OBJECTIVES = get_args(Objective)
PERIOD_S = {"s": 1.0, "min": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 30 * 86400.0}


@dataclass(frozen=True, slots=True)
class Power:
    """Watts that the device draws while it computes and while it sends."""

    compute_w: float
    send_w: float

    def __post_init__(self) -> None:
        for what, value in (("computing", self.compute_w), ("sending", self.send_w)):
            if not (math.isfinite(value) and 0 <= value <= 1e9):
                raise InputError(f"the power of {what} must be a number of watts, 0 or more, got {value}")

    def energy_j(self, plan: Plan) -> float:
        """Joules of the device for one frame."""
        return plan.edge_s * self.compute_w + plan.transfer_s * self.send_w

    def prices(self, link: Link, edge_load: float) -> Prices:
        """Energy as a linear objective, in joules."""
        return Prices(self.compute_w * edge_load, self.send_w * link.up_byte_s, 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan must keep: bytes of the edge's parameters, seconds of latency, bytes sent for one frame."""

    edge_param_bytes: float | None = None
    deadline_s: float | None = None
    frame_bytes: float | None = None

    def __post_init__(self) -> None:
        for what, value in (
            ("memory for the edge's parameters", self.edge_param_bytes),
            ("deadline", self.deadline_s),
            ("limit on the bytes of a frame", self.frame_bytes),
        ):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"the {what} must be a number, 0 or more, got {value}")

    @property
    def given(self) -> bool:
        """Whether there is any limit."""
        return not (self.edge_param_bytes is None and self.deadline_s is None and self.frame_bytes is None)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Goal:
    """The objective, the rate of frames to keep up with (None: single frames), how loaded each side is, limits.

    `power` is what the objective ``energy`` is made of.

    Raises:
        InputError: an unknown objective, a rate or load that is not positive and finite, energy without a power.
    """

    objective: Objective = "latency"
    rate_hz: float | None = None
    edge_load: float = 1.0
    cloud_load: float = 1.0
    limits: Limits = NO_LIMITS
    power: Power | None = None

    def __post_init__(self) -> None:
        if self.objective not in _OBJECTIVES:
            known = f"expected one of {', '.join(_OBJECTIVES)}{near(self.objective, _OBJECTIVES)}"
            raise InputError(f"unknown objective {self.objective!r}, {known}")
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= 1e12):
            raise InputError(f"the rate must be a positive number of frames a second, got {self.rate_hz}")
        if self.objective == "energy" and self.power is None:
            raise InputError("the objective energy needs the device's power: watts while computing and while sending")
        check_load("edge", self.edge_load)
        check_load("cloud", self.cloud_load)

    @property
    def loads(self) -> tuple[float, float]:
        """The load factors of edge and cloud."""
        return self.edge_load, self.cloud_load

    def value(self, plan: Plan) -> float:
        """The objective of a plan: less is better."""
        if self.objective == "throughput":
            return plan.bottleneck_s
        if self.objective == "energy" and self.power is not None:
            return self.power.energy_j(plan)
        return plan.latency_s


def parse_budget(text: str, rate_hz: float | None) -> float:
    """Bytes a frame from a data budget: ``100kB/frame``, or at a known rate ``2GB/month``, ``5MB/min``.

    Raises:
        UnitError: the text is no budget, or one over time without a rate.
    """
    amount, _, per = text.partition("/")
    unit = re.sub(r"^(second|sec)s?$", "s", per.strip().lower())
    if unit == "frame":
        return float(parse_size(amount))
    if unit not in PERIOD_S:
        raise UnitError(f"cannot read {text!r} as a data budget: expected something like 2GB/month or 100kB/frame")
    if rate_hz is None:
        raise UnitError(f"the data budget {text!r} needs a rate of frames; without one say it per frame (100kB/frame)")
    return parse_size(amount) / (PERIOD_S[unit] * rate_hz)
