"""Options, the map of regimes and the drawing of a cut against what the planner says."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.planning import Goal, Link, Problem, frontier, plan
from dnn_surgery.planning.explain import kind_of
from dnn_surgery.planning.plan import Objective
from dnn_surgery.report.layout import draw
from dnn_surgery.report.options import KINDS, options
from dnn_surgery.report.regimes import regimes
from tests.planning.random_problems import random_problem

PAPER = Path(__file__).parents[1] / "planning" / "data" / "paper-tiny-yolov2.json"


@pytest.fixture(scope="module")
def paper() -> Problem:
    """The paper's tiny YOLOv2."""
    return Problem.from_json(PAPER.read_text())


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_the_map_shows_the_planners_choice(paper: Problem, objective: Objective) -> None:
    """At every point the winner costs what the exact plan costs there."""
    found = options(paper, frontier(paper))
    rates, slowdowns = np.geomspace(1e5, 1e8, 7), np.array([0.25, 1.0, 8.0])
    found_map = regimes(found, rates, slowdowns, objective=objective, rtt_s=0.03)
    for row, slowdown in enumerate(slowdowns):
        for column, rate in enumerate(rates):
            best = frontier(paper).best(Link(rate, 0.03), slowdown, 1.0, objective)
            winner = found.plans[found_map.winner[row, column]]
            assert winner.edge == best.edge, (rate, slowdown)


def test_the_margin_is_over_the_next_best_kind(paper: Problem) -> None:
    """Computed anew from the planner: the best with and without the winner's kind."""
    found = options(paper, frontier(paper))
    link = Link(4e6, 0.0)
    found_map = regimes(found, np.array([4e6]), np.array([1.0]), objective="latency", rtt_s=0.0)
    inputs = {layer.name for layer in paper.layers if not layer.inputs}
    costs: dict[str, float] = {}
    for one in frontier(paper).leading(link, Goal(), len(frontier(paper))):
        costs.setdefault(kind_of(one, inputs), one.latency_s)
    first, second, *_ = sorted(costs.values())
    assert found_map.margin[0, 0] == pytest.approx(second / first)


@pytest.mark.parametrize("seed", range(5))
def test_few_of_many_rows_lose_no_winner(seed: int) -> None:
    """A reduced set of options still holds what is best on the paper's networks, and staying local."""
    problem = Problem.from_json(json.dumps(random_problem(seed, layers=16, rules=False, measured=False)))
    whole = options(problem, frontier(problem))
    small = options(problem, frontier(problem), most=1)
    assert len(small) <= len(whole)
    assert (small.sent == 0).any()
    for rate in (0.13e6, 1.1e6, 5.85e6, 18.88e6):
        for slowdown in (0.2, 1.0, 10.0):
            best_s = frontier(problem).best(Link(rate), slowdown).latency_s
            assert small.latency_s(rate, 0.0, slowdown).min() == pytest.approx(best_s, rel=0.02)


def test_a_large_frontier_is_reduced() -> None:
    """Rows that win nowhere are left out, and no kind is lost."""
    dice = random.Random(1)
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 5e5}]
    for index in range(60):
        size = 1e6 * dice.random() * 0.95**index
        codecs = [{"name": f"c{k}", "bytes": size / 2**k, "encode_s": 1e-4 * 4**k, "decode_s": 1e-5} for k in range(6)]
        source = f"l{index - 1}" if index else "in"
        layers.append({"name": f"l{index}", "inputs": [source], "edge_s": 0.01, "cloud_s": 0.001,
                       "outputs": [{"name": f"l{index}", "bytes": size, "codecs": codecs}]})  # fmt: skip
    problem = Problem.from_json(json.dumps({"name": "many", "outputs": ["l59"], "layers": layers}))
    small = options(problem, frontier(problem), most=1)
    assert len(small) < len(frontier(problem))
    assert {KINDS[kind] for kind in small.kind} == {"local", "upload", "split"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_drawing_holds_every_layer_once_with_the_cut_between(seed: int) -> None:
    """Edge boxes left of the cut, cloud boxes right of it; what crosses is what the plan sends."""
    problem = Problem.from_json(json.dumps(random_problem(seed, layers=20, rules=False)))
    best = plan(problem, Link(1e6, 0.001))
    drawing = draw(problem, best.edge)
    drawn = [name for box in drawing.boxes for name in box.layers]
    assert sorted(drawn) == sorted(layer.name for layer in problem.layers)
    for box in drawing.boxes:
        assert {name in best.edge for name in box.layers} == {box.at_edge}
        assert (box.x < drawing.cut_x) == box.at_edge
    crossing = {name for arrow in drawing.arrows if arrow.cut for name in arrow.tensors}
    assert crossing == {sent.tensor for sent in best.sent}
    for arrow in drawing.arrows:
        assert drawing.boxes[arrow.source].x < drawing.boxes[arrow.target].x
    assert len({(box.x, box.y) for box in drawing.boxes}) == len(drawing.boxes)


def test_a_deep_network_is_drawn_in_few_boxes() -> None:
    """A chain of a hundred layers: the sender, the receiver and some boxes of many."""
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 1000}]
    for index in range(100):
        source = f"l{index - 1}" if index else "in"
        size = 10 if index == 49 else 900
        layers.append({"name": f"l{index}", "inputs": [source], "edge_s": 1, "cloud_s": 0.1, "output_bytes": size})
    problem = Problem.from_json(json.dumps({"name": "deep", "outputs": ["l99"], "layers": layers}))
    drawing = draw(problem, ["in", *(f"l{index}" for index in range(50))])
    assert len(drawing.boxes) <= 20
    (cut,) = [arrow for arrow in drawing.arrows if arrow.cut]
    assert cut.tensors == ("l49",)
    assert drawing.boxes[cut.target].layers == ("l50",)
