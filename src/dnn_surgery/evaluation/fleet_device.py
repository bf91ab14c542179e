"""A device of a simulated fleet, and a frame on its way."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from dataclasses import dataclass

from dnn_surgery.cloud.fair_queue import Job
from dnn_surgery.edge.controller import Controller
from dnn_surgery.edge.health import Health
from dnn_surgery.edge.loads import LoadMeter
from dnn_surgery.evaluation.scenario import Costs
from dnn_surgery.network.estimator import LinkEstimator
from dnn_surgery.network.traces import Trace
from dnn_surgery.planning import Plan


@dataclass(eq=False, slots=True)
class Device:
    """A device: its piece of a trace, what it believes, and the frame that it is at."""

    name: str
    trace: Trace
    offset_s: float
    rng: random.Random
    controller: Controller
    estimator: LinkEstimator
    meter: LoadMeter
    health: Health
    fixed: Plan | None = None
    link_used_s: float = 0.0
    busy: bool = False
    sends: bool = False

    def upload(self, now_s: float, size_bytes: float) -> float:
        """When the last byte has left."""
        return self.trace.finish(now_s + self.offset_s, size_bytes) - self.offset_s


@dataclass(eq=False, slots=True)
class Frame:
    """A frame on its way. `open`: the device still waits for the cloud's word."""

    device: Device
    costs: Costs
    key: Hashable
    arrived_s: float
    sending_s: float = math.nan
    sent_s: float = math.inf
    idle_s: float = 0.0
    job: Job[Frame] | None = None
    open: bool = True
