"""How true a profile's prediction is: predicted against measured, cut by cut, in one interleaved run.

a round:  all layers, segments, whole  |  head, tail of cut 1  |  head, tail of cut 2  | ...
          \\--- what predicts ---------/   \\--- what is predicted -------------------------/
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnn_surgery.calibration.cut_times import CutRounds, CutTimes
from dnn_surgery.calibration.cuts import candidate_cuts
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import cut_name
from dnn_surgery.planning import Link, Problem
from dnn_surgery.profiling.measure import Progress, check_repeats, run_rounds, with_conditions
from dnn_surgery.profiling.processors import watched
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.profiling.rounds import Clock, Rounds

# Enough to tell which cuts lead; what predicts is measured anew.
_FIRST_ROUNDS = 3
_ANY_LINK = Link(bandwidth_bps=1e9)


@dataclass(frozen=True, slots=True)
class VerifiedCut:
    """One cut: seconds that layers and hand-over costs add up to, and what its head and tail took as a whole."""

    name: str
    predicted_head_s: float
    predicted_tail_s: float
    measured: CutTimes

    @property
    def predicted_s(self) -> float:
        """Head and tail."""
        return self.predicted_head_s + self.predicted_tail_s

    @property
    def error(self) -> float:
        """Of the prediction for head and tail together, signed: 0.05 is predicted 5 % too long."""
        return _share(self.predicted_s - self.measured.sum_s, self.measured.sum_s)

    @property
    def error_apart(self) -> float:
        """Both sides' errors without their signs, in shares of head and tail together: they cannot make up for
        each other."""
        apart = abs(self.predicted_head_s - self.measured.head_s) + abs(self.predicted_tail_s - self.measured.tail_s)
        return _share(apart, self.measured.sum_s)

    @property
    def repeatability(self) -> float:
        """The quartile spread of the measurement itself, in shares of it: no prediction can be held to less."""
        return _share(self.measured.sum_spread_s, self.measured.sum_s)


@dataclass(frozen=True)
class Verification:
    """All candidate cuts of one model on one engine."""

    profile: Profile
    cuts: tuple[VerifiedCut, ...]

    @property
    def median_error(self) -> float:
        """Over all cuts, without signs."""
        return statistics.median(abs(cut.error) for cut in self.cuts)

    @property
    def p95_error(self) -> float:
        """The error that 95 of 100 cuts stay below, without signs."""
        return quantile([abs(cut.error) for cut in self.cuts], 0.95)

    @cached_property
    def times(self) -> tuple[CutTimes, ...]:
        """What was measured, for :func:`dnn_surgery.calibration.calibrate.calibrate`."""
        return tuple(cut.measured for cut in self.cuts)


def verify(
    engine: Engine,
    *,
    inputs: Mapping[str, Array] | None = None,
    repeats: int = 15,
    warmup: int = 3,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
    pin: bool = True,
) -> Verification:
    """Profiles the engine's graph and measures all candidate cuts whole, round by round in turn.

    Args:
        engine: what runs the graph and all heads and tails.
        inputs: named arrays; the traced example by default.
        repeats: rounds that count. warmup: rounds before them.
        clock: monotonic seconds.
        progress: called with (rounds done, rounds in all).
        pin: keeps the process on as many processors as the engine has threads meanwhile (where the platform can).

    Raises:
        InputError: fewer than 1 repeat.
        TensorError: `inputs` are not the model's.
    """
    check_repeats(repeats, warmup)
    rounds = Rounds(engine, inputs=inputs, clock=clock)
    for _ in range(_FIRST_ROUNDS):
        rounds.run()
    first = rounds.profile()
    cuts = CutRounds(
        engine,
        candidate_cuts(engine.graph, Problem.from_profiles(first, first)),
        inputs=inputs,
        clock=clock,
    )
    with watched(threads=engine.info.threads, pin=pin) as watch:
        run_rounds([rounds, cuts], repeats=repeats, warmup=warmup, progress=progress)
    profile = with_conditions(rounds.profile(), watch)
    return Verification(profile, compare(engine, profile, cuts.times()))


def compare(engine: Engine, profile: Profile, measured: Sequence[CutTimes]) -> tuple[VerifiedCut, ...]:
    """Each measured cut beside what the profile says of it.

    Raises:
        ProblemError: a cut is no partition of the profile's model.
    """
    problem = Problem.from_profiles(profile, profile)
    made = []
    for times in measured:
        predicted = problem.cost(edge=times.edge, link=_ANY_LINK)
        # Nothing is called where nothing is left to compute.
        tail_s = predicted.cloud_s if set(times.edge) != {layer.name for layer in problem.layers} else 0.0
        made.append(VerifiedCut(cut_name(engine.graph, times.edge), predicted.edge_s, tail_s, times))
    return tuple(made)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values stay below, interpolated between neighbours."""
    return float(np.quantile(np.asarray(values), share))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
