"""The parts that solve: minimum cuts of any network, mixtures, the search's budget."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dnn_surgery.planning import Goal, Link, Problem
from dnn_surgery.planning.branch import solve
from dnn_surgery.planning.exact import bounded, starting_partitions
from dnn_surgery.planning.flow import Network
from dnn_surgery.planning.lagrange import Task
from dnn_surgery.planning.mixture import best_mixture
from tests.planning.test_frontier import wide


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_minimum_cuts_of_any_network(seed: int) -> None:
    draw = np.random.default_rng(seed)
    nodes, arcs = int(draw.integers(2, 8)), int(draw.integers(1, 25))
    tails, heads = draw.integers(0, nodes, (2, arcs))
    keep = tails != heads
    tails, heads = tails[keep], heads[keep]
    if not len(tails):
        return
    capacity = draw.integers(0, 9, len(tails)) * 10.0 ** draw.integers(-9, 1, len(tails))
    capacity[draw.random(len(tails)) < 0.2] = np.inf
    values = []
    for inside in itertools.product((False, True), repeat=nodes - 2):
        side = np.array([True, False, *inside])
        values.append(float(capacity[side[tails] & ~side[heads]].sum()))
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return
    cut = Network(nodes, tails.astype(np.intp), heads.astype(np.intp)).minimum_cut(capacity, max(finite))
    least = min(finite)
    assert cut.value == pytest.approx(least, rel=1e-9, abs=1e-290)
    assert cut.lower_bound <= least * (1 + 1e-12)
    assert cut.lower_bound == pytest.approx(least, rel=1e-9, abs=1e-290)
    assert (cut.side[0], cut.side[1], cut.widest[0], cut.widest[1]) == (True, False, True, False)
    assert float(capacity[cut.side[tails] & ~cut.side[heads]].sum()) == pytest.approx(least, rel=1e-9, abs=1e-290)
    assert not (cut.side & ~cut.widest).any()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 3), st.integers(0, 3))
def test_mixtures_are_those_of_a_general_solver(seed: int, points: int, kinds: int, limits: int) -> None:
    draw = np.random.default_rng(seed)
    cost = draw.random(points) * draw.integers(0, 2)
    stages, broken = draw.random((points, kinds)), draw.normal(size=(points, limits))
    found = best_mixture(cost, stages, broken, 100.0)
    # Variables: points, z, excesses.
    bound = np.hstack((np.vstack((stages.T, broken.T)), np.zeros((kinds + limits, 1 + limits))))
    bound[:kinds, points] = -1
    bound[kinds:, points + 1 :] = -np.eye(limits)
    objective = np.concatenate((cost, [1.0 if kinds else 0.0], np.full(limits, 100.0)))
    once = np.concatenate((np.ones(points), np.zeros(1 + limits))).reshape(1, -1)
    right = np.zeros(kinds + limits)
    known = linprog(
        objective, A_ub=bound if len(bound) else None, b_ub=right if len(bound) else None, A_eq=once, b_eq=[1]
    )
    assert found.value == pytest.approx(known.fun, rel=1e-7, abs=1e-9)
    assert found.points.sum() == pytest.approx(1)
    # The dual prices prove the same value: no point costs less at them.
    priced = cost + stages @ found.stages + broken @ found.limits
    assert priced.min() == pytest.approx(known.fun, rel=1e-6, abs=1e-7)
    assert found.stages.sum() == pytest.approx(1.0 if kinds else 0.0)


def test_a_search_that_may_not_finish_says_its_gap() -> None:
    problem = wide(12, 8)
    gaps = [bounded(problem, Link(100, 0.5), Goal("throughput"), max_cuts=cuts).gap for cuts in (3, 30, 300)]
    assert all(gap is not None and 0 <= gap < 1 for gap in gaps)
    assert gaps == sorted(gaps, key=lambda gap: -(gap or 0.0))
    assert not bounded(problem, Link(100, 0.5), Goal("throughput"), max_cuts=3).optimal


def test_a_bound_is_never_above_the_optimum(paper: Problem) -> None:
    link = Link(4e6)
    optimum = min(
        paper.cost(edge=[layer.name for layer in paper.layers[:stop]], link=link).bottleneck_s
        for stop in range(1, len(paper.layers) + 1)
    )
    for cuts in range(1, 20):
        outcome = solve(paper.structure, Task.of(link, Goal("throughput")), starting_partitions(paper.structure), cuts)
        assert outcome.cuts <= cuts
        assert outcome.bound <= optimum * (1 + 1e-12) <= outcome.value * (1 + 2e-12)
