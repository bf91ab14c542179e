"""What the live experiment compares: a cut's times simulated, simulated with the stages as seen live, and live."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dnn_surgery.calibration.cut_times import CutTimes
from dnn_surgery.edge.controller import Loads
from dnn_surgery.evaluation.live_run import LiveRun
from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.policies import Fixed
from dnn_surgery.evaluation.scenario import ConstantUplink, Scenario
from dnn_surgery.evaluation.simulation import simulate
from dnn_surgery.planning import Link, Problem

WITHIN = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """One way of running a cut: seconds of the stages, of a frame from begin to answer, and frames a second."""

    edge_s: float
    transfer_s: float
    cloud_s: float
    latency_s: float
    rate_hz: float


@dataclass(frozen=True, slots=True)
class LiveCut:
    """A cut of a network on a link, simulated, simulated with the stages' seconds as seen live, and live.

    `uses` are the strategies that choose it, with the rate at which they do. `alone`, `together`: how many frames were
    measured one by one, and with all stages busy. `sent_bytes`: of the plan, and of the whole request.
    """

    network: str
    link: str
    cut: str
    uses: tuple[tuple[str, float], ...]
    simulated: Timing
    replayed: Timing
    live: Timing
    alone: int
    together: int
    sent_bytes: tuple[float, float]

    @property
    def latency_ratio(self) -> float:
        """Live over simulated."""
        return self.live.latency_s / self.simulated.latency_s

    @property
    def rate_ratio(self) -> float:
        """Live over simulated, frames a second."""
        return self.live.rate_hz / self.simulated.rate_hz

    @property
    def replayed_ratios(self) -> tuple[float, float]:
        """Live over replayed: latency, frames a second."""
        return self.live.latency_s / self.replayed.latency_s, self.live.rate_hz / self.replayed.rate_hz


def simulated(
    problem: Problem, edge: Sequence[str], rate_bps: float, edge_slowdown: float, *, frames: int, in_flight: int
) -> Timing:
    """What the simulation says of a cut: of one frame alone, and of `frames` offered as fast as they are taken."""
    loads = Loads(edge_slowdown, 1.0)
    plan = problem.cost(edge=edge, link=Link(rate_bps), edge_load=loads.edge)
    scenario = Scenario(
        problem,
        ConstantUplink(rate_bps),
        rtt_s=0.0,
        rate_hz=published.HEAVY_HZ,
        frames=frames,
        deadline_s=1e6,
        in_flight=in_flight,
        overload="block",
        loads=lambda _: loads,
    )
    (one,) = simulate(replace(scenario, frames=1), Fixed(plan)).frames
    many = simulate(scenario, Fixed(plan)).frames
    # A run counts a frame's time from when it is taken in, which is when the edge is free for it.
    alone_s = one.done_s - one.begun_s
    return Timing(plan.edge_s, plan.transfer_s, plan.cloud_s, alone_s, pace([frame.done_s for frame in many]))


def as_seen(times: CutTimes, run: LiveRun, edge_slowdown: float) -> CutTimes:
    """Head and tail as they took in a run."""
    skip = warm_up(len(run.frames))
    head_s, tail_s = run.median("edge_s", skip) / edge_slowdown, run.median("compute_s", skip)
    return replace(times, head_s=head_s, tail_s=tail_s, sum_s=head_s + tail_s)


def median_of(times: Sequence[CutTimes]) -> CutTimes:
    """Of several looks at a cut the median of its heads and of its tails; the spreads are the first one's."""
    head_s, tail_s = (statistics.median(getattr(one, key) for one in times) for key in ("head_s", "tail_s"))
    return replace(times[0], head_s=head_s, tail_s=tail_s, sum_s=head_s + tail_s)


def pace(times_s: Sequence[float]) -> float:
    """Frames a second between the end of the warm-up and the last answer."""
    first = warm_up(len(times_s))
    return (len(times_s) - 1 - first) / (times_s[-1] - times_s[first])


def warm_up(frames: int) -> int:
    """How many of so many frames do not count: the first ones, where there are others."""
    return min(2, frames // 3)
