import math
import random

import numpy as np
import pytest

from dnn_surgery.evaluation.contenders import BASELINES, CONTROLLER, ORACLE, contenders, keep_inputs, outside, tuned
from dnn_surgery.evaluation.regret import Experiment, play, play_all
from dnn_surgery.network.traces import SteppedTrace
from dnn_surgery.planning import Link, Problem
from tests.evaluation.problems import TINY

PROBLEM = Problem.from_json(TINY)


def experiment(seed: int = 0, starts: int = 3, *, outage: bool = True) -> Experiment:
    """A link that wanders slowly around the rates at which the plans of the problem change places."""
    drawn, rate, rates = random.Random(seed), 10e3, []
    for _ in range(120):
        rate *= math.exp(drawn.gauss(0, 0.5))
        rate = min(max(rate, 300.0), 100e3)
        rates.append(rate)
    if outage:
        rates[1] = 0.0
    trace = SteppedTrace(np.arange(0.0, 36000.0, 300.0), np.array(rates), 36000.0)
    return Experiment.over(PROBLEM, trace, "wandering", rtt_s=0.1, starts=starts)


def test_frames_do_not_overlap_by_default() -> None:
    made = experiment()
    assert made.deadline_s == 11.0
    assert 1 / made.rate_hz >= 2 * made.deadline_s


def test_dead_seconds_are_apart_and_every_frame_is_counted() -> None:
    made = experiment()
    outcomes = play(made, "upload", contenders(made)["cloud-only"])
    for run in outcomes.runs:
        assert len(run.latency_s) + len(run.dead_latency_s) + run.skipped == made.frames
    dead = np.concatenate([run.dead_latency_s for run in outcomes.runs])
    assert len(dead) >= 2
    assert dead.min() >= made.deadline_s  # nothing could be sent, so the deadline made the edge finish


def test_all_contenders_are_between_the_oracle_and_their_own_worst() -> None:
    made = experiment()
    played = play_all(made, contenders(made))
    assert set(played) == {CONTROLLER, ORACLE, *BASELINES}
    oracle = played[ORACLE]
    for name, outcomes in played.items():
        low, high = outcomes.behind_interval(oracle)
        assert outcomes.behind(oracle) >= -1e-9, name
        assert low - 1e-9 <= outcomes.behind(oracle) <= high + 1e-9
        assert outcomes.p95_s >= outcomes.mean_s * 0.5
        assert 0 <= outcomes.met <= 1
    assert played["edge-only"].mean_s == pytest.approx(11.0)


def test_the_controller_is_ahead_of_plans_that_never_change_on_a_link_that_does() -> None:
    for seed in (1, 2, 3):
        made = experiment(seed)
        played = play_all(made, contenders(made))
        assert played[CONTROLLER].mean_s < min(played[name].mean_s for name in BASELINES)


def test_the_controller_is_near_the_best_that_hindsight_can_tune() -> None:
    made = experiment(1, starts=1, outage=False)
    best, what = tuned(made)
    assert what
    assert play(made, "controller", outside(CONTROLLER)).mean_s <= 1.1 * best.mean_s


def test_intervals_narrow_with_more_starts_and_repeat() -> None:
    few, many = (play(experiment(starts=count), "x", outside(CONTROLLER)).interval("mean_s") for count in (3, 12))
    assert few[1] <= few[0] <= few[2]
    assert many[2] - many[1] < few[2] - few[1]
    assert few == play(experiment(starts=3), "x", outside(CONTROLLER)).interval("mean_s")


def test_inputs_that_are_kept_are_never_sent() -> None:
    made = Experiment.over(keep_inputs(PROBLEM), experiment().trace, "wandering")
    assert "cloud-only" not in contenders(made)
    assert all(plan.edge != ("in",) for plan in [made.frontier.best(Link(10.0**power)) for power in range(2, 9)])


def test_planners_by_name_are_run_on_what_is_believed() -> None:
    made = experiment()
    exact, dsl = (play(made, name, outside(name)) for name in ("exact", "dsl"))
    assert exact.mean_s == pytest.approx(dsl.mean_s)  # both are exact for latency
    assert exact.mean_s < 11.0
