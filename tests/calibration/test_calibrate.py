"""Measured heads and tails as rows of a problem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dnn_surgery.calibration.calibrate import calibrate, calibrated
from dnn_surgery.calibration.cut_times import CutTimes, measure_cuts
from dnn_surgery.calibration.cuts import candidate_cuts
from dnn_surgery.errors import InputError, ProblemError
from dnn_surgery.planning import Link, Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile
from tests.calibration.clocked_engine import ClockedEngine, graph_of

GRAPH = graph_of({"in": (), "a": ("in",), "b": ("a",), "c": ("b",)}, ["c"])
LINK = Link(bandwidth_bps=1e6)
CUT = ("in", "a")


def engine_of() -> ClockedEngine:
    """Of which single layers say too much: a and b together take 3 s less."""
    layer_s = {"in": 0.0, "a": 4.0, "b": 4.0, "c": 4.0}
    return ClockedEngine(GRAPH, layer_s, call_s=0.5, leave_s=0.25, enter_s=0.125, gain={("a", "b"): 3.0})


def problem_of(engine: ClockedEngine, slowdown: float = 1.0) -> Problem:
    told = profile(GRAPH, engine=engine, repeats=1, warmup=0, clock=engine.clock)
    return Problem.from_profiles(told, told, slowdown)


@pytest.mark.parametrize("slowdown", [1.0, 8.0])
def test_a_calibrated_problem_costs_what_was_measured(slowdown: float) -> None:
    engine = engine_of()
    problem = problem_of(engine, slowdown)
    times = measure_cuts(engine, candidate_cuts(GRAPH, problem), repeats=1, warmup=0, clock=engine.clock)
    calibrated = calibrate(problem, edge=times, cloud=times, edge_slowdown=slowdown)
    assert len(calibrated.measured) == len(times) == 4
    for measured in times[:-1]:
        cost = calibrated.cost(edge=measured.edge, link=LINK)
        assert cost.edge_s == pytest.approx(measured.head_s * slowdown)
        assert cost.cloud_s == pytest.approx(measured.tail_s)
    assert problem.cost(edge=CUT, link=LINK).edge_s != pytest.approx(times[1].head_s * slowdown)


def test_a_side_that_did_not_measure_keeps_its_prediction() -> None:
    engine = engine_of()
    problem = problem_of(engine)
    (times,) = measure_cuts(engine, [CUT], repeats=1, warmup=0, clock=engine.clock)
    cost = calibrate(problem, edge=[times]).cost(edge=CUT, link=LINK)
    assert cost.edge_s == pytest.approx(times.head_s)
    assert cost.cloud_s == pytest.approx(problem.cost(edge=CUT, link=LINK).cloud_s)
    both = calibrate(calibrate(problem, edge=[times]), cloud=[times]).cost(edge=CUT, link=LINK)
    assert (both.edge_s, both.cloud_s) == pytest.approx((times.head_s, times.tail_s))


def test_other_cuts_stay_as_they_were() -> None:
    engine = engine_of()
    problem = problem_of(engine)
    calibrated = calibrate(problem, edge=measure_cuts(engine, [CUT], repeats=1, warmup=0, clock=engine.clock))
    other = ("in", "a", "b")
    assert calibrated.cost(edge=other, link=LINK) == problem.cost(edge=other, link=LINK)


def test_a_measured_problem_survives_its_file() -> None:
    engine = engine_of()
    times = measure_cuts(engine, [CUT], repeats=1, warmup=0, clock=engine.clock)
    calibrated = calibrate(problem_of(engine), edge=times, cloud=times)
    assert Problem.from_json(calibrated.to_json()) == calibrated


def test_a_profile_brings_its_measured_cuts_into_every_problem(tmp_path: Path) -> None:
    engine = engine_of()
    told = profile(GRAPH, engine=engine, repeats=1, warmup=0, clock=engine.clock)
    times = measure_cuts(engine, [CUT], repeats=1, warmup=0, clock=engine.clock)
    calibrated(told, times).save(tmp_path / "here.json")
    read = Profile.load(tmp_path / "here.json")
    assert read == calibrated(told, times) == calibrated(read, times)
    cost = Problem.from_profiles(read, told, 8).cost(edge=CUT, link=LINK)
    assert cost.edge_s == pytest.approx(8 * times[0].head_s)
    assert cost.cloud_s == pytest.approx(problem_of(engine).cost(edge=CUT, link=LINK).cloud_s)


def test_cuts_of_another_model_and_bad_slow_downs_are_refused() -> None:
    problem = problem_of(engine_of())
    times = CutTimes(("in", "b"), 1.0, 1.0, 2.0, 0.0, 0.0, 0.0)
    with pytest.raises(ProblemError, match="'b'"):
        calibrate(problem, edge=[times])
    with pytest.raises(ProblemError, match="a measured cut names 'bb', which is no layer"):
        calibrate(problem, cloud=[replace(times, edge=("in", "bb"))])
    with pytest.raises(InputError, match="slow-down must be positive, got 0"):
        calibrate(problem, edge_slowdown=0)


def test_candidates_are_all_bottlenecks_and_what_leads_inside_a_segment() -> None:
    graph = graph_of(
        {"in": (), "wide": ("in",), "narrow": ("wide",), "other": ("wide",), "c": ("narrow", "other")}, "c"
    )
    engine = ClockedEngine(graph, {"in": 0.0, "wide": 1.0, "narrow": 1.0, "other": 1.0, "c": 1.0})
    told = profile(graph, engine=engine, repeats=1, warmup=0, clock=engine.clock)
    cuts = candidate_cuts(graph, Problem.from_profiles(told, told))
    assert cuts[:3] == (("in",), ("in", "wide"), ("in", "wide", "narrow", "other", "c"))
    assert len(set(map(frozenset, cuts))) == len(cuts)
    # Pins force a cut inside the segment.
    pinned = Problem.from_profiles(told, told).with_pins(edge=["narrow"], cloud=["other"])
    assert ("in", "wide", "narrow") in candidate_cuts(graph, pinned)
