"""Fleets of 10 to 1000 devices on the mobile traces, simulated: do they settle, and how far from the best assignment?

`together` is the variance over time of the share of devices that send, over that of devices that decide independently:
1 if nobody moves with anybody, the number of devices if all do. The best static assignment is the best of a grid around
the server's capacity, in hindsight. Simulated, so the same each time but for the seconds that a run takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.traces import TRACES
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.evaluation.fleet import Fleet, simulate_fleet
from dnn_surgery.evaluation.fleet_compare import AS_IT_IS, STATIC, compare
from dnn_surgery.network.traces import read_trace
from dnn_surgery.planning import Problem

SIZES = {10: 1, 100: 4, 1000: 16}
PROBLEM = Path(__file__).parents[1] / "src/dnn_surgery/evaluation/problems/resnet18.json"


def run() -> list[Figure]:
    """Every size; 1000 devices for 60 s are also a matter of the simulator's speed."""
    return [figure for devices, workers in SIZES.items() for figure in of_size(fleet(devices, workers))]


def fleet(devices: int, workers: int) -> Fleet:
    traces = [read_trace(path) for path in sorted(TRACES.glob("*.up"))]
    problem = Problem.from_json(PROBLEM.read_text(encoding="utf-8"))
    return Fleet(problem, traces, devices, workers=workers, limits=ServingLimits(queued=workers))


def of_size(one: Fleet) -> Iterator[Figure]:
    results = compare(one)
    name = f"{one.devices} devices, {one.workers} workers"
    best_s = results[STATIC].mean_s
    for kind, result in results.items():
        if kind == STATIC:
            continue
        goal = {"at_most": 3.0} if kind == AS_IT_IS else {}
        yield Figure(f"{name}, {kind}: together", result.run.synchrony(result.after_s), "x", **goal)
        yield Figure(f"{name}, {kind}: swing of the share", 100 * result.run.swing(result.after_s), "%")
        goal = {"at_most": 1.1} if kind == AS_IT_IS else {}
        yield Figure(f"{name}, {kind}: mean latency, best static assignment's", result.mean_s / best_s, "x", **goal)
    start_s = time.process_time()
    simulate_fleet(one)
    yield Figure(f"{name}: processor time of 60 s", time.process_time() - start_s, "s", at_most=60)
