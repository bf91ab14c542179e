"""Regimes by arithmetic, and one case for real: its ways measured and guarded, run by serve, link and run."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from dnn_surgery import codecs, load_model
from dnn_surgery.evaluation.regimes.cases import CASES
from dnn_surgery.evaluation.regimes.choice import KINDS, can_run, choose
from dnn_surgery.evaluation.regimes.live import Live, LiveRuns, same_answer
from dnn_surgery.evaluation.regimes.search import Found, Regime, Way, grid, look, search
from dnn_surgery.evaluation.regimes.ways import Prepared, cuts, prepare
from dnn_surgery.report.figures.canvas import write
from dnn_surgery.report.figures.regime_margins import margins_figure
from dnn_surgery.report.regimes_table import live_table, summary_table, write_regimes

EDGE = Way("edge", "", (), 0.04, 0.0, 0.0)
UPLOAD = Way("upload", "picture", (("picture", "jpeg95"),), 0.002, 25_000, 0.042)
EARLY = Way("split", "early", (("early", "int8c"),), 0.010, 40_000, 0.032)
DEEP = Way("split", "deep", (("deep", "int4c"),), 0.020, 6_000, 0.022, proved=0.91)
WAYS = (EDGE, UPLOAD, EARLY, DEEP)


def test_seconds_of_a_regime_by_hand() -> None:
    three = Regime("throughput", 1e6, 8.0, cloud_load=2.0, cameras=3)
    assert three.stages(DEEP) == pytest.approx((0.16, 3 * 0.048, 2 * 3 * 0.022))
    assert three.cost_s(DEEP) == pytest.approx(0.16)
    assert three.cost_s(UPLOAD) == pytest.approx(0.6)
    one = Regime("latency", 1e6, 8.0, rtt_s=0.05)
    assert one.cost_s(DEEP) == pytest.approx(0.16 + 0.048 + 0.022 + 0.05)
    assert one.cost_s(EDGE) == pytest.approx(0.32)  # no round trip for what is not sent


def test_the_margin_is_the_best_alternative_over_the_best_split() -> None:
    found = look("tiny", WAYS, Regime("throughput", 1e6, 8.0))
    assert (found.split, found.alternative) == (DEEP, UPLOAD)
    assert found.margin == pytest.approx(0.2 / 0.16)
    # With a picture that may not leave there is nothing but staying.
    private = look("tiny", WAYS, Regime("throughput", 1e6, 8.0, private=True))
    assert private.alternative == EDGE
    assert private.margin == pytest.approx(2.0)
    assert private.mixed_s == float("inf")


@pytest.mark.parametrize("bandwidth_bps", [1e5, 1e6, 2e7])
@pytest.mark.parametrize("slowdown", [1.0, 8.0, 30.0])
def test_alternating_is_the_optimum_of_its_linear_program(bandwidth_bps: float, slowdown: float) -> None:
    regime = Regime("throughput", bandwidth_bps, slowdown)
    stages = np.array([regime.stages(way) for way in (EDGE, UPLOAD)]).T
    best_hz = np.asarray(linprog([-1, -1], A_ub=stages, b_ub=[1, 1, 1]).x).sum()
    assert 1 / look("tiny", WAYS, regime).mixed_s == pytest.approx(best_hz)


def test_without_a_split_nothing_is_found() -> None:
    assert search("tiny", (EDGE, UPLOAD), list(grid())) == []


def test_as_many_losers_as_winners_of_each_kind() -> None:
    found = search("tiny", WAYS, list(grid()))
    chosen = choose(found, {"tiny": WAYS})
    assert [one.kind for one in chosen] == [kind for kind in KINDS for _ in range(2)]
    for won, lost in zip(chosen[::2], chosen[1::2], strict=True):
        of_kind = [one for one in found if KINDS[won.kind](one.regime) and can_run(one)]
        assert won.found.strict_margin == max(one.strict_margin for one in of_kind)
        assert lost.found.margin < 1
        # To the picture where it may leave, else to staying.
        assert lost.found.alternative == (EDGE if lost.found.regime.private else UPLOAD)
        for one in (won, lost):
            assert one.rivals[0] == one.found.alternative
            assert {way.kind for way in (*one.rivals, *one.unrun)} == {
                way.kind for way in WAYS if way.kind != "split" and one.found.regime.allows(way)
            }


def test_what_this_machine_cannot_play_is_not_chosen() -> None:
    assert not can_run(look("tiny", WAYS, Regime("throughput", 1e6, 8.0, cloud_load=2.0)))
    assert not can_run(look("tiny", WAYS, Regime("latency", 1e3, 8.0)))  # 49 s a frame
    assert not can_run(look("tiny", WAYS, Regime("throughput", 1e9, 8.0, cameras=1000)))


def test_each_cut_sends_less_than_the_one_before() -> None:
    graph = load_model("efficientnet_lite0")
    sizes = [
        sum(graph.tensors[name].size_bytes for name in graph.boundary(graph.edge_layers(cut))) for cut in cuts(graph)
    ]
    assert len(sizes) >= 5
    assert all(later < 0.8 * earlier for earlier, later in itertools.pairwise(sizes))


def test_answers_are_compared_by_the_guards_rules() -> None:
    box = {"box": [10, 10, 50, 50], "confidence": 0.8, "class": 3, "label": "cat"}
    assert same_answer({"detections": [box]}, {"detections": [{**box, "box": [12, 11, 52, 49]}]})
    assert not same_answer({"detections": [box]}, {"detections": []})
    assert not same_answer({"detections": [box]}, {"detections": [{**box, "class": 4}]})
    assert same_answer({"class": 1, "confidence": 0.9}, {"class": 1, "confidence": 0.5})
    assert not same_answer({"outputs": {"y": [1.0]}}, {"outputs": {"y": [1.5]}})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A real network on a few real pictures."""
    (case,) = [case for case in CASES if case.name == "lite0-exact"]
    steps: list[str] = []
    folder = tmp_path_factory.mktemp("regimes")
    made = prepare(case, folder, frames=12, report=steps.append)
    # The second time the profile is read, not measured.
    again = prepare(case, folder, frames=12, report=steps.append)
    assert sum("profiling" in step for step in steps) == 1
    assert again.ways == made.ways
    return made


def test_every_way_of_an_exact_case_loses_nothing(prepared: Prepared) -> None:
    kinds = {way.kind for way in prepared.ways}
    assert kinds == {"edge", "upload", "float32", "split"}
    assert {way.cut for way in prepared.ways if way.kind == "split"} == set(cuts(prepared.graph))
    for way in prepared.ways:
        assert way.proved == 1.0
        assert all(codecs.get(codec).lossless for _, codec in way.codecs)
    assert not prepared.tried
    (floats,) = [way for way in prepared.ways if way.kind == "float32"]
    assert floats.size_bytes == 224 * 224 * 3 * 4


@pytest.fixture(scope="module")
def live(prepared: Prepared) -> Live:
    """A split and two alternatives, run by processes over a link."""
    ways = prepared.ways
    found = look("lite0-exact", ways, Regime("throughput", 18.88e6, 2.0, rtt_s=0.01))
    best = {way.kind: way for way in sorted(ways, key=found.regime.cost_s, reverse=True)}
    with LiveRuns(prepared, prepared.profile.parent, lambda _: None) as runs:
        return runs.run(found, [best["edge"], best["upload"]], [best["float32"]])


def test_live_answers_are_the_unsplit_networks(live: Live) -> None:
    split, edge, upload = live.seen
    assert (split.way.kind, edge.way.kind, upload.way.kind) == ("split", "edge", "upload")
    for one in live.seen:
        assert one.agreeing == one.frames >= 3
        assert one.by_edge == 0
    assert edge.sent_bytes == 0
    # What was sent is what was planned: the same codec, on frames of the same kind.
    for one in (split, upload):
        assert one.sent_bytes == pytest.approx(one.way.size_bytes, rel=0.25)
        # The link carries no byte faster than its rate.
        assert one.measured_s > 0.8 * 8 * one.sent_bytes / live.found.regime.bandwidth_bps
    assert live.margin == min(edge.measured_s, upload.measured_s) / split.measured_s


def test_files_and_picture(prepared: Prepared, live: Live, tmp_path: Path) -> None:
    found: list[Found] = search("lite0-exact", prepared.ways, list(grid()))
    lives = [("throughput", live)]
    paths = list(write_regimes(tmp_path, {"lite0-exact": prepared.ways}, found, lives))
    assert [path.name for path in paths] == ["regimes.csv", "live.csv", "regimes.json"]
    with paths[0].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found)
    assert float(rows[0]["margin"]) == pytest.approx(found[0].margin)
    document = json.loads(paths[2].read_text(encoding="utf-8"))
    assert document["schema"] == "dnn-surgery/regimes/1"
    assert [way["kind"] for way in document["live"][0]["ways"]] == ["split", "edge", "upload"]
    assert summary_table(found).row_count == len(KINDS)
    assert live_table(lives).row_count == 1
    assert write(margins_figure(found, lives), tmp_path / "regimes.png").stat().st_size > 10_000
