"""How far every policy is from the clairvoyant, over a trace: mean latency, p95, deadlines met, dead seconds apart.

One experiment: a problem, a trace, frames at a rate that one frame is done before the next, whatever happens. It is
repeated from several starts in the trace, and every policy sees the same ones; intervals are percentiles of a bootstrap
over the starts. A second of the trace in which nothing can leave is dead: no policy can send then, so frames that
arrive in one are counted apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.evaluation.scenario import Frame, Policy, Run, Scenario, Uplink
from dnn_surgery.evaluation.simulation import simulate
from dnn_surgery.network.traces import Trace
from dnn_surgery.planning import Link, Problem, frontier
from dnn_surgery.planning.algorithms import plan_for
from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal

DEAD_WINDOW_S = 1.0
_RESAMPLES = 1000

PolicyMaker = Callable[["Experiment", Scenario], Policy]


@dataclass(frozen=True)
class Experiment:
    """A problem on a trace, from `starts` places evenly over it.

    `rate_hz` and `deadline_s` follow from what the edge takes for a frame alone (or from the least latency on any link
    where it cannot do one alone): a reply may take as long as that, then the edge finishes the frame; and frames are so
    far apart that a head, a deadline and a local finish fit in between.
    """

    problem: Problem
    trace: Trace
    trace_name: str
    rtt_s: float
    rate_hz: float
    deadline_s: float
    starts: int = 8
    longest_s: float = 300.0
    startup_s: float = 0.0
    jitter: float = 0.0

    @classmethod
    def over(
        cls,
        problem: Problem,
        trace: Trace,
        trace_name: str,
        *,
        rtt_s: float = 0.04,
        rate_hz: float | None = None,
        deadline_s: float | None = None,
        starts: int = 8,
        startup_s: float = 0.0,
        jitter: float = 0.0,
    ) -> Experiment:
        """The experiment with the defaults of the class's text."""
        if deadline_s is None:
            deadline_s = plan_for(problem, Link(1e6), Goal(), "edge-only").latency_s
        return cls(
            problem,
            trace,
            trace_name,
            rtt_s,
            0.4 / deadline_s if rate_hz is None else rate_hz,
            deadline_s,
            starts,
            startup_s=startup_s,
            jitter=jitter,
        )

    @cached_property
    def frontier(self) -> Frontier:
        """All plans."""
        return frontier(self.problem)

    @cached_property
    def rates_bps(self) -> NDArray[np.float64]:
        """The rate of each whole second of the trace."""
        seconds = np.arange(0.0, max(1.0, np.floor(self.trace.duration_s)))
        return np.asarray(self.trace.bytes_between(seconds, seconds + 1.0)) * 8.0

    @property
    def typical_link(self) -> Link:
        """The median of the trace's seconds: what a plan that never changes is made for."""
        return Link(max(float(np.median(self.rates_bps)), 1e3), self.rtt_s)

    @property
    def frames(self) -> int:
        """How many frames one start runs: one round of the trace, at most `longest_s`, at least 40."""
        return max(40, int(min(self.trace.duration_s, self.longest_s) * self.rate_hz))

    @property
    def scenarios(self) -> list[Scenario]:
        """One for each start; its seed is its number."""
        uplink: Uplink = self.trace
        return [
            Scenario(
                self.problem,
                uplink,
                self.rtt_s,
                self.rate_hz,
                self.frames,
                self.deadline_s,
                start_s=self.trace.duration_s * number / self.starts,
                startup_s=self.startup_s,
                jitter=self.jitter,
                seed=number,
            )
            for number in range(self.starts)
        ]

    def is_dead(self, frame: Frame) -> bool:
        """Whether nothing can leave in the second after the frame's arrival."""
        return self.trace.bytes_between(frame.arrived_s, frame.arrived_s + DEAD_WINDOW_S) == 0


@dataclass(frozen=True)
class Outcome:
    """What one policy made of one start; latencies in seconds of frames that arrived while the link was alive."""

    seed: int
    start_s: float
    latency_s: NDArray[np.float64]
    dead_latency_s: NDArray[np.float64]
    late: int
    skipped: int
    changes: int
    sent_bytes: float
    probe_bytes: float

    def values(self) -> dict[str, float]:
        """Metrics by name; `met` is the share of frames that no deadline had to finish, bytes are of one frame."""
        count = len(self.latency_s) + len(self.dead_latency_s)
        return {
            "mean_s": _mean(self.latency_s),
            "p95_s": float(np.quantile(self.latency_s, 0.95)) if len(self.latency_s) else float("nan"),
            "met": 1.0 - self.late / max(len(self.latency_s), 1),
            "dead_frames": float(len(self.dead_latency_s)),
            "dead_mean_s": _mean(self.dead_latency_s),
            "skipped": float(self.skipped),
            "changes": float(self.changes),
            "sent_bytes": self.sent_bytes / max(count, 1),
            "probe_bytes": self.probe_bytes / max(count, 1),
        }


@dataclass(frozen=True)
class Outcomes:
    """One policy over all starts."""

    policy: str
    runs: tuple[Outcome, ...]

    @property
    def mean_s(self) -> float:
        """Mean latency over all live frames."""
        return _mean(np.concatenate([run.latency_s for run in self.runs]))

    @property
    def p95_s(self) -> float:
        """95th percentile over all live frames."""
        return float(np.quantile(np.concatenate([run.latency_s for run in self.runs]), 0.95))

    @property
    def met(self) -> float:
        """Share of live frames that no deadline had to finish."""
        return 1.0 - sum(run.late for run in self.runs) / max(sum(len(run.latency_s) for run in self.runs), 1)

    def behind(self, other: Outcomes) -> float:
        """By what fraction its mean latency is above the other's; negative: it is ahead."""
        return self.mean_s / other.mean_s - 1.0

    def behind_interval(self, other: Outcomes, *, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of :meth:`behind`: percentiles of a bootstrap over the starts, the same ones for both."""
        return _bootstrap(
            [(run.latency_s.sum(), len(run.latency_s)) for run in self.runs],
            [(run.latency_s.sum(), len(run.latency_s)) for run in other.runs],
            confidence,
        )

    def interval(self, metric: str, *, confidence: float = 0.95) -> tuple[float, float, float]:
        """Mean of a metric over the starts, and the bootstrap's interval of that mean."""
        values = np.array([run.values()[metric] for run in self.runs])
        values = values[~np.isnan(values)]
        if not len(values):
            return float("nan"), float("nan"), float("nan")
        means = values[_resamples(len(values))].mean(axis=1)
        low, high = _percentiles(means, confidence)
        return float(values.mean()), low, high


def play(experiment: Experiment, name: str, make: PolicyMaker) -> Outcomes:
    """Runs one policy from every start."""
    runs = []
    for scenario in experiment.scenarios:
        run = simulate(scenario, make(experiment, scenario))
        runs.append(_outcome(experiment, scenario, run))
    return Outcomes(name, tuple(runs))


def play_all(
    experiment: Experiment, policies: Mapping[str, PolicyMaker], report: Callable[[str], None] = lambda _: None
) -> dict[str, Outcomes]:
    """Runs all policies; `report` is told which one is on."""
    played = {}
    for name, make in policies.items():
        report(f"{experiment.problem.name} on {experiment.trace_name}: {name}")
        played[name] = play(experiment, name, make)
    return played


def _outcome(experiment: Experiment, scenario: Scenario, run: Run) -> Outcome:
    alive, dead, late = [], [], 0
    for frame in run.answered:
        if experiment.is_dead(frame):
            dead.append(frame.latency_s)
        else:
            alive.append(frame.latency_s)
            late += frame.finished_by == "local"
    return Outcome(
        scenario.seed,
        scenario.start_s,
        np.array(alive),
        np.array(dead),
        late,
        len(run.frames) - len(run.answered),
        run.changes,
        sum(frame.sent_bytes for frame in run.frames),
        run.probe_bytes,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _resamples(count: int) -> NDArray[np.intp]:
    drawn = random.Random(0)
    return np.array([[drawn.randrange(count) for _ in range(count)] for _ in range(_RESAMPLES)], dtype=np.intp)


def _percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _bootstrap(
    ours: Sequence[tuple[float, int]], theirs: Sequence[tuple[float, int]], confidence: float
) -> tuple[float, float]:
    """Interval of a ratio of means less 1; each start gives a sum and a count."""
    rows = _resamples(len(ours))
    one, other = (np.array(pairs)[rows].sum(axis=1) for pairs in (ours, theirs))
    return _percentiles((one[:, 0] / one[:, 1]) / (other[:, 0] / other[:, 1]) - 1.0, confidence)
