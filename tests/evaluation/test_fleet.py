"""A fleet on real traces: it settles, it is the same each time, and the server's capacity is what it is."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.errors import InputError
from dnn_surgery.evaluation.fleet import Fleet, simulate_fleet
from dnn_surgery.evaluation.fleet_run import FleetRun
from dnn_surgery.evaluation.fleet_static import best_static
from dnn_surgery.network.traces import MahimahiTrace, SteppedTrace
from dnn_surgery.planning import Problem

SETTLED_S = 15.0


def problem() -> Problem:
    text = (resources.files("dnn_surgery.evaluation") / "problems" / "resnet18.json").read_text(encoding="utf-8")
    return Problem.from_json(text)


def links() -> list[SteppedTrace | MahimahiTrace]:
    """One that changes a lot, one that does not."""
    drawn = np.random.default_rng(0)
    rates = 8e6 * np.exp(0.5 * drawn.standard_normal(120))
    moments = np.cumsum(drawn.integers(1, 4, 40_000))
    return [SteppedTrace(np.arange(120.0), rates, 120.0), MahimahiTrace(moments)]


def fleet(devices: int = 60, workers: int = 2, **options: object) -> Fleet:
    settings: dict[str, object] = {"limits": ServingLimits(queued=workers), "duration_s": 45.0, **options}
    return Fleet(problem(), links(), devices, workers=workers, **settings)  # type: ignore[arg-type]


def test_a_fleet_larger_than_the_server_settles_near_the_best_static_assignment() -> None:
    whole = fleet()
    run = simulate_fleet(whole)
    # It is overloaded, or there would be nothing to settle: what the server can do in all is done by it, and no more.
    cloud_s = sum(layer.cloud_s for layer in whole.problem.layers)
    capacity = whole.workers * whole.duration_s / cloud_s
    assert len(run.latencies_s) > 1.3 * capacity
    assert 0.8 * capacity < run.finished_by["cloud"] <= 1.05 * capacity
    assert run.refused > 0
    assert run.swing(SETTLED_S) < 0.1
    assert run.synchrony(SETTLED_S) < 4
    _, static = best_static(whole, SETTLED_S)
    assert run.mean_s(SETTLED_S) < 1.15 * static.mean_s(SETTLED_S)


def test_a_server_with_room_for_all_has_all() -> None:
    run = simulate_fleet(fleet(10, workers=4))
    assert run.shares[60:].mean() > 0.9
    assert run.refused == 0


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    small = fleet(20, duration_s=10.0)
    first, again = simulate_fleet(small), simulate_fleet(small)
    assert first.latencies_s == again.latencies_s
    assert first.loads == again.loads
    assert simulate_fleet(replace(small, seed=1)).latencies_s != first.latencies_s


def test_every_frame_that_began_early_enough_is_done() -> None:
    small = fleet(20, duration_s=20.0)
    run = simulate_fleet(small)
    arrived = 20 * 20 - run.skipped
    # What is missing is under way when the time is over: at most one of each device.
    assert arrived - 20 <= len(run.latencies_s) <= arrived
    assert sum(run.finished_by.values()) == len(run.latencies_s)


@pytest.mark.parametrize(("together", "expected"), [(True, 50.0), (False, 1.0)])
def test_synchrony_tells_a_herd_from_individuals(together: bool, expected: float) -> None:
    drawn = np.random.default_rng(3)
    run = FleetRun(50, 0.25)
    for _ in range(4000):
        states = np.full(50, drawn.random() < 0.5) if together else drawn.random(50) < 0.5
        run.states.append(states)
    assert run.synchrony() == pytest.approx(expected, rel=0.1)


def test_a_fleet_that_makes_no_sense() -> None:
    with pytest.raises(InputError, match="needs a device"):
        fleet(0)
    with pytest.raises(InputError, match="positive rate"):
        fleet(1, rate_hz=0.0)
    with pytest.raises(InputError, match="let it run longer"):
        simulate_fleet(fleet(2, duration_s=0.1)).mean_s()
