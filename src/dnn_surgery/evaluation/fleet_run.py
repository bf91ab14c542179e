"""What became of a fleet: latencies, refusals, and how much its devices move together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import InputError


@dataclass
class FleetRun:
    """Frames with their arrivals, latencies and who finished them (edge, cloud, local); and samples of the devices.

    `states`: every `sample_s`, which devices send. `loads`: what the server reported, with its times. `refused`: by the
    server; `late`: no word within the deadline; `skipped`: frames that came while the device was at another.
    """

    devices: int
    sample_s: float
    arrivals_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    finished_by: Counter[str] = field(default_factory=Counter)
    states: list[NDArray[np.bool_]] = field(default_factory=list)
    loads: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    skipped: int = 0

    def add(self, arrived_s: float, latency_s: float, by: str) -> None:
        """Notes a finished frame."""
        self.arrivals_s.append(arrived_s)
        self.latencies_s.append(latency_s)
        self.finished_by[by] += 1

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of devices that send, over time."""
        return np.array([state.mean() for state in self.states])

    def mean_s(self, after_s: float = 0.0) -> float:
        """Mean latency of the frames that arrived after `after_s`.

        Raises:
            InputError: there are none.
        """
        late = np.array(self.latencies_s)[np.array(self.arrivals_s) >= after_s]
        if not late.size:
            raise InputError(f"no frame of the fleet was done that arrived after {after_s:g} s: let it run longer")
        return float(late.mean())

    def synchrony(self, after_s: float = 0.0) -> float:
        """Variance over time of the share of devices that send, over what it would be if they were independent.

        That is the sum of each device's own variance over time, over the square of their number: 1 for independent
        devices, their number for devices that all move together; 1 too where none ever moves.
        """
        states = np.array(self.states[round(after_s / self.sample_s) :], dtype=np.float64)
        independent = float(states.var(axis=0).sum()) / self.devices**2
        return float(states.mean(axis=1).var()) / independent if independent > 0 else 1.0

    def swing(self, after_s: float = 0.0) -> float:
        """Standard deviation over time of the share of devices that send."""
        return float(self.shares[round(after_s / self.sample_s) :].std())
