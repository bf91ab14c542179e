"""A fleet as it is, and with one thing different at a time: what settles it, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.evaluation.fleet import Fleet, simulate_fleet
from dnn_surgery.evaluation.fleet_run import FleetRun
from dnn_surgery.evaluation.fleet_static import best_static

AS_IT_IS, SAME, DEAF, REPORTS, LONG, STATIC = (
    "as it is",
    "all equally reluctant",
    "refusals teach nothing",
    "the server's report believed",
    "a queue of 128",
    "best static",
)


@dataclass(frozen=True)
class Result:
    """What one kind of fleet did once it had settled, after `after_s`. `sends`: devices that send in a static one."""

    run: FleetRun
    after_s: float
    sends: int | None = None

    @property
    def mean_s(self) -> float:
        """Mean latency."""
        return self.run.mean_s(self.after_s)


def compare(fleet: Fleet, progress: Callable[[str], None] = lambda _: None) -> dict[str, Result]:
    """All kinds by name. The first quarter of the time is left to settle."""
    after_s = fleet.duration_s / 4
    kinds = {
        AS_IT_IS: fleet,
        SAME: replace(fleet, randomised=False),
        DEAF: replace(fleet, failures_count=False),
        REPORTS: replace(fleet, reports=True),
        LONG: replace(fleet, limits=ServingLimits(queued=128)),
    }
    results = {}
    for name, kind in kinds.items():
        progress(name)
        results[name] = Result(simulate_fleet(kind), after_s)
    progress(STATIC)
    count, run = best_static(fleet, after_s)
    return {**results, STATIC: Result(run, after_s, count)}
