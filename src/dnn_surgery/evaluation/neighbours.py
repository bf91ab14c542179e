"""How much of a clairvoyant's lead can be had without foresight: a rule that knows the link's whole past, for free.

For each frame it looks at what the link carried in windows that end now, finds the moments of the trace most like this
one (except those near by, which would give the future away), and takes the plan that was the best there on average.
No device can do that: rates that nobody used are not seen, and the trace is not known. Where even this rule is not
ahead of a plan that never changes, a clairvoyant's lead rests on foresight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dnn_surgery.evaluation.policies import Deaf, Rows, latencies, rows_of
from dnn_surgery.evaluation.regret import Experiment, Outcomes, play
from dnn_surgery.evaluation.scenario import Choice, Scenario, Status
from dnn_surgery.network.traces import Trace
from dnn_surgery.planning import Plan
from dnn_surgery.planning.structure import Floats

WINDOWS_S = ((0.3,), (1.0,), (0.1, 0.3, 1.0), (1.0, 2.0, 4.0))
COUNTS = (30, 100)
_MOMENTS, _LEAST_STEP_S = 3000, 0.15
_APART_S = 20.0
_LEAST_BPS = 1e4


@dataclass(frozen=True)
class Moments:
    """Moments of one trace in which something could leave: when, how fast it was before, what each plan took."""

    time_s: Floats
    log_rate: Floats
    latency_s: Floats
    rows: Rows


def moments_of(experiment: Experiment, windows_s: tuple[float, ...]) -> Moments:
    """Evenly over one round of the trace, not the first, so that each has a past."""
    trace, scenario = experiment.trace, experiment.scenarios[0]
    step_s = max(_LEAST_STEP_S, trace.duration_s / _MOMENTS)
    time_s = trace.duration_s + np.arange(0.0, trace.duration_s, step_s)
    time_s = time_s[trace.bytes_between(time_s, time_s + 1.0) > 0]
    rows = rows_of(experiment.problem, experiment.frontier)
    latency_s = np.array([latencies(scenario, rows, now_s, 0.0) for now_s in time_s.tolist()])
    return Moments(time_s, log_rates(trace, time_s, windows_s), latency_s, rows)


def log_rates(trace: Trace, now_s: Floats, windows_s: tuple[float, ...]) -> Floats:
    """Logarithm of the rate in each window that ends now: [moments, windows]."""
    carried = [8 * trace.bytes_between(now_s - window_s, now_s) / window_s for window_s in windows_s]
    return np.asarray(np.log(np.array(carried) + _LEAST_BPS).T)


class Neighbours(Deaf):
    """See the module's text: the mean over the `count` most similar moments."""

    def __init__(self, trace: Trace, moments: Moments, windows_s: tuple[float, ...], count: int) -> None:
        self._trace, self._moments, self._windows_s, self._count = trace, moments, windows_s, count
        self._scale = moments.log_rate.std(axis=0) + 1e-9

    def choose(self, status: Status) -> Choice:
        """The plan that did best in moments like this one."""
        return Choice(self._plan(status.now_s))

    def _plan(self, now_s: float) -> Plan:
        moments, round_s = self._moments, self._trace.duration_s
        # A trace repeats, so a start before its first window ends has the end of the round before as its past.
        seen = log_rates(self._trace, np.array([now_s % round_s + round_s]), self._windows_s)
        distance = (((moments.log_rate - seen) / self._scale) ** 2).sum(axis=1)
        apart_s = np.abs(moments.time_s - now_s) % round_s
        distance[np.minimum(apart_s, round_s - apart_s) < _APART_S] = np.inf
        nearest = distance.argpartition(self._count)[: self._count]
        return moments.rows.plans[int(moments.latency_s[nearest].mean(axis=0).argmin())]


def best_neighbours(experiment: Experiment) -> Outcomes:
    """The best of some windows and counts, in hindsight."""
    found = []
    for windows_s in WINDOWS_S:
        moments = moments_of(experiment, windows_s)
        for count in COUNTS:
            found.append(play(experiment, "neighbours", _made(moments, windows_s, count)))
    return min(found, key=lambda outcomes: outcomes.mean_s)


def _made(moments: Moments, windows_s: tuple[float, ...], count: int) -> Callable[[Experiment, Scenario], Neighbours]:
    return lambda experiment, _: Neighbours(experiment.trace, moments, windows_s, count)
