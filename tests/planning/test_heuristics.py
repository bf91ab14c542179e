"""DSH, DADS, the paper's own forms and the baselines: their bounds, their modes, their known faults."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError, InputError, ProblemError
from dnn_surgery.planning import Link, Problem, plan, static_best
from tests.planning.brute_force import rows
from tests.planning.random_problems import random_problem
from tests.planning.test_mincut import tiny


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_dsh_keeps_its_proven_ratio(seed: int) -> None:
    document = random_problem(seed, measured=False)
    dice = random.Random(seed)
    link = Link(dice.choice([8.0, 1e3, 1.1e6]))
    problem = Problem.from_json(json.dumps(document))
    known = list(rows(document))
    if not known:
        with pytest.raises(InfeasibleError):
            plan(problem, link, algorithm="dsh")
        return
    found = plan(problem, link, "throughput", algorithm="dsh")
    best_s = min(row.bottleneck_s(link.bandwidth_bps) for row in known)
    latency_s = plan(problem, link, algorithm="dsl").latency_s
    assert best_s * (1 - 1e-9) <= found.bottleneck_s <= latency_s * (1 + 1e-9)
    assert found.bottleneck_s <= 3 * best_s * (1 + 1e-9)
    assert (found.optimal, found.gap) == (False, None)


def test_dads_is_light_then_heavy_then_congested(paper: Problem) -> None:
    link = Link(4e6)
    light, heavy = plan(paper, link), plan(paper, link, algorithm="dsh")
    assert heavy.bottleneck_s < light.bottleneck_s
    assert plan(paper, link, algorithm="dads").mode is None
    slow = plan(paper, link, rate_hz=0.99 / light.bottleneck_s, algorithm="dads")
    assert (slow.mode, slow.edge) == ("light", light.edge)
    middle = plan(paper, link, rate_hz=0.99 / heavy.bottleneck_s, algorithm="dads")
    assert (middle.mode, middle.edge) == ("heavy", heavy.edge)
    fast = plan(paper, link, rate_hz=1.01 / heavy.bottleneck_s, algorithm="dads")
    assert (fast.mode, fast.edge) == ("congested", heavy.edge)
    assert fast.max_rate_hz == pytest.approx(1 / heavy.bottleneck_s)


def test_the_papers_graph_to_the_letter_is_wrong_as_known() -> None:
    found = plan(tiny(), Link(40), algorithm="dsl-paper")
    assert (found.latency_s, found.edge, found.cloud) == (2, ("b",), ("in", "a"))
    assert found.optimal is False
    with pytest.raises(ProblemError, match="'b' is at the edge but needs 'a'"):
        tiny().cost(edge=found.edge, link=Link(40))


def test_the_papers_dsh_to_the_letter_uploads_for_nothing(paper: Problem) -> None:
    found = plan(paper, Link(1e5), "throughput", algorithm="dsh-paper")
    assert "input" in found.cloud
    assert found.bottleneck_s < plan(paper, Link(1e5), "throughput").bottleneck_s


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_neurosurgeon_is_never_better_than_exact(seed: int) -> None:
    document = random_problem(seed)
    problem = Problem.from_json(json.dumps(document))
    try:
        found = plan(problem, Link(1e3), algorithm="neurosurgeon")
    except InfeasibleError:
        return
    assert found.latency_s >= plan(problem, Link(1e3)).latency_s * (1 - 1e-9)


@pytest.mark.parametrize("mbit", [0.13, 1.1, 5.85, 18.88])
def test_neurosurgeon_is_exact_on_a_chain(paper: Problem, mbit: float) -> None:
    link = Link(mbit * 1e6, 0.04)
    assert plan(paper, link, algorithm="neurosurgeon").edge == plan(paper, link).edge


def test_neurosurgeon_finds_no_prefix() -> None:
    # x must stay and y must go, but y comes first in the order of the file.
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 1}]
    layers += [
        {"name": name, "inputs": ["in"], "edge_s": 1, "cloud_s": 1, "output_bytes": 1, "pin": pin}
        for name, pin in (("y", "cloud"), ("x", "edge"))
    ]
    problem = Problem.from_json(json.dumps({"layers": layers}))
    assert plan(problem, Link(8)).edge == ("in", "x")
    with pytest.raises(InfeasibleError, match="no prefix"):
        plan(problem, Link(8), algorithm="neurosurgeon")


def test_static_best_keeps_the_cut_of_the_median(paper: Problem) -> None:
    links = [Link(bps) for bps in (0.1e6, 18e6, 4e6)]
    plans = static_best(paper, links)
    chosen = plan(paper, Link(4e6))
    assert [found.edge for found in plans] == [chosen.edge] * 3
    assert plans[2].latency_s == pytest.approx(chosen.latency_s)
    assert plans[0].latency_s > plan(paper, links[0]).latency_s
    with pytest.raises(InputError, match="at least one link"):
        static_best(paper, [])
