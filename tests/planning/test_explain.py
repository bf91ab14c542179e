"""Break points against the frontier itself, and what is said of a plan."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning import Goal, Limits, Link, Problem, frontier, plan
from dnn_surgery.planning.breakpoints import FASTEST_BPS, SLOWEST_BPS, Axis, Stretch, breakpoints
from dnn_surgery.planning.explain import explain
from dnn_surgery.planning.parametric import latency_breakpoints
from tests.planning.brute_force import rows
from tests.planning.random_problems import random_problem
from tests.planning.test_exact import POWER, Question
from tests.planning.test_mincut import tiny


def at(axis: Axis, value: float, link: Link, goal: Goal) -> tuple[Link, Goal]:
    if axis == "bandwidth":
        return Link(value, link.rtt_s, link.download_bps), goal
    loads = (goal.edge_load * value, goal.cloud_load)
    return link, Goal(goal.objective, goal.rate_hz, *loads, goal.limits, goal.power)


def check_stretch(problem: Problem, axis: Axis, stretch: Stretch, question: Question) -> None:
    """At random places of a stretch its plan is as good as the best one there."""
    table = frontier(problem)
    dice = random.Random(1)
    for _ in range(3):
        value = stretch.low * (stretch.high / stretch.low) ** dice.uniform(0.02, 0.98)
        link, goal = at(axis, value, question.link, question.goal)
        try:
            best = table.plan(link, goal)
        except InfeasibleError:
            assert stretch.plan is None
            continue
        if stretch.plan is None:
            assert best.mode == "congested"
            continue
        codecs = {sent.tensor: sent.codec for sent in stretch.plan.sent}
        loads = {"edge_load": goal.edge_load, "cloud_load": goal.cloud_load}
        there = problem.cost(edge=stretch.plan.edge, link=link, codecs=codecs, **loads)
        assert goal.value(there) == pytest.approx(goal.value(best), rel=1e-9, abs=1e-290)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["bandwidth", "edge slow-down"]))
def test_each_stretch_is_right_all_along(seed: int, axis: Axis) -> None:
    document = random_problem(seed, measured=False)
    known = list(rows(document))
    if not known:
        return
    problem = Problem.from_json(json.dumps(document))
    question = Question(random.Random(seed), known)
    stretches = breakpoints(frontier(problem), question.link, question.goal, axis)
    ends = [(stretch.low, stretch.high) for stretch in stretches]
    if axis == "bandwidth":
        assert ends[0][1] == pytest.approx(FASTEST_BPS)
        assert ends[-1][0] == pytest.approx(SLOWEST_BPS)
        assert [low for low, _ in ends[:-1]] == pytest.approx([high for _, high in ends[1:]])
    else:
        assert [high for _, high in ends[:-1]] == [low for low, _ in ends[1:]]
    for stretch in stretches:
        if stretch.high > stretch.low * (1 + 1e-6):
            check_stretch(problem, axis, stretch, question)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["bandwidth", "edge slow-down"]))
def test_break_points_without_a_frontier_are_the_same(seed: int, axis: Axis) -> None:
    problem = Problem.from_json(json.dumps(random_problem(seed, measured=False)))
    if problem.structure.rules.conflict:
        return
    link, goal = Link(1e5, 0.5, 1e6), Goal(edge_load=2.0)
    by_cuts = latency_breakpoints(problem, link, goal, axis)
    assert by_cuts is not None
    for stretch in by_cuts:
        for share in (0.02, 0.5, 0.98):
            there, load = at(axis, stretch.low * (stretch.high / stretch.low) ** share, link, goal)
            assert stretch.plan is not None
            codecs = {sent.tensor: sent.codec for sent in stretch.plan.sent}
            loads = {"edge_load": load.edge_load, "cloud_load": load.cloud_load}
            kept = problem.cost(edge=stretch.plan.edge, link=there, codecs=codecs, **loads)
            best = frontier(problem).plan(there, load)
            assert kept.latency_s == pytest.approx(best.latency_s, rel=1e-8, abs=1e-290)


def test_the_papers_network_flips_where_its_lines_cross(paper: Problem) -> None:
    stretches = breakpoints(frontier(paper), Link(4e6), Goal(), "bandwidth")
    names = [stretch.plan.sent[0].tensor if stretch.plan and stretch.plan.sent else "" for stretch in stretches]
    assert names == ["input", "max3", "max4", "max5", ""]
    last, next_to_last = stretches[3].plan, stretches[2].plan
    assert last is not None
    assert next_to_last is not None
    by_cuts = latency_breakpoints(paper, Link(4e6), Goal(), "bandwidth")
    assert by_cuts is not None
    assert [stretch.low for stretch in by_cuts] == pytest.approx([stretch.low for stretch in stretches])
    # Between two cuts: the bytes saved take as long as the seconds that are computed more.
    saved = next_to_last.sent_bytes - last.sent_bytes
    more_s = last.edge_s + last.cloud_s - next_to_last.edge_s - next_to_last.cloud_s
    assert stretches[3].high == pytest.approx(8 * saved / more_s)


def test_the_verdict_compares_with_both_alternatives(paper: Problem) -> None:
    link = Link(4e6)
    told = explain(paper, link, Goal(), plan(paper, link))
    assert told.kind == "split"
    assert told.verdict.startswith("Split after max5: 57.5 % less latency than staying local and 64.3 % less")
    assert told.runner_up is not None
    assert told.runner_up.plan.sent[0].tensor == "max4"
    assert told.runner_up.margin > 0
    assert explain(paper, Link(1e3), Goal(), plan(paper, Link(1e3))).verdict.startswith("Stay local: ")
    upload = plan(paper, Link(1e9))
    assert explain(paper, Link(1e9), Goal(), upload).verdict.startswith("Upload input: ")


def test_the_verdict_of_a_rate_that_cannot_be_kept(paper: Problem) -> None:
    found = plan(paper, Link(4e6), rate_hz=1000)
    told = explain(paper, Link(4e6), Goal(rate_hz=1000), found)
    assert f"No plan keeps up with 1000 frames/s: lower it to {found.max_rate_hz:.4g}" in told.verdict


def test_a_runner_up_keeps_the_goal_too(paper: Problem) -> None:
    goal = Goal(limits=Limits(frame_bytes=1e5), rate_hz=0.5, power=POWER, objective="energy")
    found = plan(paper, Link(4e6), "energy", 0.5, limits=goal.limits, power=POWER)
    told = explain(paper, Link(4e6), goal, found)
    if told.runner_up is not None:
        assert told.runner_up.plan.sent_bytes <= 1e5
        assert told.runner_up.plan.bottleneck_s <= 2


def test_a_rival_that_costs_less_but_does_not_keep_the_goal_is_called_so(paper: Problem) -> None:
    goal = Goal(limits=Limits(frame_bytes=9e4))
    found = plan(paper, Link(100e6), limits=goal.limits)
    told = explain(paper, Link(100e6), goal, found)
    assert told.upload is not None
    assert told.upload.margin < 0
    assert told.verdict.endswith("% more latency than uploading the input (which sends too much)")
    assert told.local is not None
    assert told.local.flaw is None


def test_a_plan_of_another_algorithm_that_does_not_keep_up_speaks_for_itself(paper: Problem) -> None:
    found = plan(paper, Link(4e6), rate_hz=1, algorithm="edge-only")
    told = explain(paper, Link(4e6), Goal(rate_hz=1), found)
    assert "The plan of edge-only does not keep up with 1 frames/s: lower it to 0.5522" in told.verdict


def test_there_is_no_runner_up_where_only_one_plan_keeps_up(paper: Problem) -> None:
    goal = Goal(rate_hz=2.5)
    found = plan(paper, Link(4e6), rate_hz=2.5)
    assert (found.sent[0].tensor, found.mode) == ("max4", "heavy")
    assert explain(paper, Link(4e6), goal, found).runner_up is None


def test_a_plan_to_the_papers_letter_may_be_impossible() -> None:
    found = plan(tiny(), Link(40), algorithm="dsl-paper")
    assert explain(tiny(), Link(40), Goal(), found).impossible == (
        "in is an input of the model, yet it is not at the edge and nothing uploads it"
    )
    assert explain(tiny(), Link(40), Goal(), plan(tiny(), Link(40))).impossible is None
