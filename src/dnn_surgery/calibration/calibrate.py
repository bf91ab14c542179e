"""Feeds what was measured whole back: into a problem, or into the profile that problems are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dnn_surgery.calibration.cut_times import CutTimes
from dnn_surgery.errors import InputError
from dnn_surgery.planning import Problem
from dnn_surgery.planning.measured_cuts import with_measured_cuts
from dnn_surgery.profiling.profile import MeasuredCut, Profile


def calibrate(
    problem: Problem,
    *,
    edge: Iterable[CutTimes] = (),
    cloud: Iterable[CutTimes] = (),
    edge_slowdown: float = 1.0,
) -> Problem:
    """The problem with a `measured` row for each cut that either side measured.

    Args:
        problem: what was predicted.
        edge: what the edge measured; its heads count, multiplied by `edge_slowdown`.
        cloud: what the cloud measured; its tails count.
        edge_slowdown: as the problem was made with.

    Raises:
        InputError: the slow-down is not positive.
        ProblemError: a cut is no partition of the problem.
    """
    if not edge_slowdown > 0:
        raise InputError(f"the edge's slow-down must be positive, got {edge_slowdown}")
    return with_measured_cuts(problem, edge=_cuts(edge), cloud=_cuts(cloud), edge_slowdown=edge_slowdown)


def calibrated(profile: Profile, times: Iterable[CutTimes]) -> Profile:
    """The profile that also says what these cuts took as a whole; :meth:`Problem.from_profiles` takes it from there."""
    merged = {frozenset(cut.edge): cut for cut in (*profile.measured, *_cuts(times))}
    return replace(profile, measured=tuple(merged.values()))


def _cuts(times: Iterable[CutTimes]) -> list[MeasuredCut]:
    return [MeasuredCut(cut.edge, cut.head_s, cut.tail_s) for cut in times]
