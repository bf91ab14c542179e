"""The best fixed assignment of devices to server and edge, in hindsight: what a fleet is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dnn_surgery.network.traces import Trace
from dnn_surgery.planning import Frontier, Link, Plan
from dnn_surgery.planning.goal import Goal

if TYPE_CHECKING:
    from dnn_surgery.evaluation.fleet import Fleet
    from dnn_surgery.evaluation.fleet_run import FleetRun

# Of what the server can do if it does nothing else, so much is given to devices.
_FILLINGS = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85, 0.95, 1.1)


def assign(table: Frontier, traces: Sequence[Trace], count: int, rtt_s: float) -> list[Plan]:
    """A plan for each device: the best at its trace's mean for the `count` that gain most, the edge for the others."""
    alone = table.plan(Link(1.0, rtt_s), Goal())
    best = [table.plan(Link(trace.mean_bps, rtt_s), Goal()) for trace in traces]
    order = sorted(range(len(traces)), key=lambda number: best[number].latency_s)
    chosen = set(order[:count])
    return [best[number] if number in chosen else alone for number in range(len(traces))]


def best_static(fleet: Fleet, after_s: float) -> tuple[int, FleetRun]:
    """How many devices should send, of a grid around the server's capacity, and what becomes of the fleet then."""
    from dnn_surgery.evaluation.fleet import simulate_fleet

    cloud_s = max(sum(layer.cloud_s for layer in fleet.problem.layers), 1e-6)
    capacity = fleet.workers / cloud_s / fleet.rate_hz
    counts = sorted({min(fleet.devices, round(filling * capacity)) for filling in _FILLINGS})
    runs = {count: simulate_fleet(replace(fleet, static=count)) for count in counts}
    return min(runs.items(), key=lambda item: item[1].mean_s(after_s))
