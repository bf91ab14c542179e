"""The rule that has the past for free: between the best plan that never changes and the clairvoyant."""

from __future__ import annotations

import numpy as np
import pytest

from dnn_surgery.evaluation.contenders import BASELINES, ORACLE, contenders
from dnn_surgery.evaluation.neighbours import best_neighbours, log_rates, moments_of
from dnn_surgery.evaluation.regret import Experiment, play_all
from dnn_surgery.network.traces import SteppedTrace
from tests.evaluation.test_regret import PROBLEM


def alternating(seconds: float, rates: tuple[float, ...]) -> SteppedTrace:
    starts = np.arange(0.0, 7200.0, seconds)
    return SteppedTrace(starts, np.array([rates[number % len(rates)] for number in range(len(starts))]), 7200.0)


def test_what_the_past_tells_is_used() -> None:
    made = Experiment.over(PROBLEM, alternating(300.0, (64e3, 400.0)), "alternating", rtt_s=0.1, starts=3)
    played = play_all(made, contenders(made))
    found = best_neighbours(made)
    assert found.mean_s < 0.9 * min(played[name].mean_s for name in BASELINES)
    assert found.mean_s >= played[ORACLE].mean_s - 1e-9


def test_what_only_the_future_tells_is_not() -> None:
    """A link that changes at random every second: whether the next seconds are slow does not show in those before."""
    drawn = np.random.default_rng(0)
    starts = np.arange(0.0, 3600.0, 5.0)
    trace = SteppedTrace(starts, drawn.choice([400.0, 64e3], len(starts)), 3600.0)
    made = Experiment.over(PROBLEM, trace, "random", rtt_s=0.1, starts=3)
    played = play_all(made, contenders(made))
    best = min(played[name].mean_s for name in BASELINES)
    assert played[ORACLE].mean_s < 0.9 * best
    assert best_neighbours(made).mean_s > 0.9 * best


def test_rates_are_of_windows_that_end_now() -> None:
    trace = alternating(300.0, (64e3, 8e3))
    rates = np.exp(log_rates(trace, np.array([7200.0 + 300.0, 7200.0 + 302.0]), (1.0, 4.0))) - 1e4
    assert rates == pytest.approx(np.array([[64e3, 64e3], [8e3, 36e3]]))
    moments = moments_of(Experiment.over(PROBLEM, trace, "alternating"), (1.0,))
    assert moments.latency_s.shape == (len(moments.time_s), len(moments.rows.plans))
    assert moments.latency_s.min() > 0
