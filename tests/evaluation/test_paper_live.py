"""What the live experiment chooses, simulates and writes; the processes themselves in the slow test."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dnn_surgery.cli.main import main
from dnn_surgery.errors import ModelError, NetworkError
from dnn_surgery.evaluation.live_run import run_edge, write_frames
from dnn_surgery.evaluation.paper import live, live_timing, published
from dnn_surgery.evaluation.paper.live_trace import OverTrace, run_over_trace
from dnn_surgery.evaluation.paper.setups import Basis, Setup, link_of
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.reference import load_model
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.report.paper_live import show_live, write_live

DATA = Path(__file__).parent / "data"
NETWORK = "resnet18"


@pytest.fixture(scope="module")
def setup() -> Setup:
    """ResNet-18 on an edge eight times slower."""
    return Basis({NETWORK: Profile.load(DATA / f"{NETWORK}.json")}, {}).measured(8.0)


def timing(factor: float) -> live_timing.Timing:
    return live_timing.Timing(0.1 * factor, 0.2 * factor, 0.05 * factor, 0.35 * factor, 5 / factor)


def cut(**changes: object) -> live_timing.LiveCut:
    made = live_timing.LiveCut(
        network=NETWORK,
        link="WiFi",
        cut="split after conv1",
        uses=(("dads", 20.0), ("exact", 20.0)),
        simulated=timing(1),
        replayed=timing(1),
        live=timing(1.05),
        alone=8,
        together=20,
        sent_bytes=(1000, 1100.0),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_every_strategy_runs_some_cut_at_both_rates(setup: Setup) -> None:
    for link in published.UPLINK_MBPS:
        uses = [use for some in live.chosen_cuts(setup, NETWORK, link).values() for use in some]
        assert sorted((strategy, rate_hz) for strategy, rate_hz, _, _ in uses) == sorted(
            (strategy, rate_hz) for strategy in live.STRATEGIES for rate_hz in (published.LIGHT_HZ, published.HEAVY_HZ)
        )


def test_each_chosen_cut_can_be_named(setup: Setup) -> None:
    graph = load_model(NETWORK)
    for link in published.UPLINK_MBPS:
        for edge in live.chosen_cuts(setup, NETWORK, link):
            assert set(graph.edge_layers(live.cut_layer(graph, edge))) == set(edge)


def test_a_cut_of_two_branches_has_no_name() -> None:
    graph = load_model(NETWORK)
    both = graph.edge_layers(["layer2.0.conv1", "layer1.1.conv2"])
    assert live.cut_layer(graph, both) == "layer2.0.conv1"  # the shortcut reads what the branch reads
    alexnet = load_model("alexnet")
    towers = [layer.name for layer in alexnet.layers if "input" in layer.inputs]
    assert len(towers) == 2
    with pytest.raises(ModelError, match="several branches"):
        live.cut_layer(alexnet, alexnet.edge_layers(towers))


@pytest.mark.parametrize("link", [*published.UPLINK_MBPS])
def test_the_simulation_is_the_plan_where_nothing_waits(setup: Setup, link: str) -> None:
    """Alone a frame takes the plan's latency; with all stages busy frames come out one bottleneck apart."""
    for edge, uses in live.chosen_cuts(setup, NETWORK, link).items():
        plan = uses[0][3]
        found = live_timing.simulated(
            setup.problems[NETWORK], edge, link_of(link).bandwidth_bps, 8.0, frames=30, in_flight=8
        )
        assert found.latency_s == pytest.approx(plan.latency_s)
        assert found.rate_hz == pytest.approx(min(plan.throughput_hz, published.HEAVY_HZ))


def test_few_frames_of_what_is_slow(setup: Setup) -> None:
    effort = live.Effort(seconds=8.0, alone=(1, 10), together=(2, 40))
    plans = {use[2]: use[3] for some in live.chosen_cuts(setup, NETWORK, "CAT1").values() for use in some}
    assert effort.counts(plans["upload input"]) == (1, 2)
    alone, together = effort.counts(plans["stay local"])
    assert alone > 3
    assert together > 3


def test_what_is_written(tmp_path: Path) -> None:
    """A row a strategy, ratios of live over simulated; a picture; what is far is not counted as near."""
    cuts = [cut(), cut(link="4G", cut="upload input", uses=(("cloud-only", 0.1),), live=timing(1.3))]
    trace = OverTrace(
        NETWORK, "driving", "controller", (0.2, 0.4), (0.3, 0.3), {"edge": 2}, {"edge": 1.5, "cloud": 0.5}
    )
    paths = list(write_live(cuts, [trace], tmp_path))
    assert [path.name for path in paths] == ["live.csv", "live.png", "live-trace.csv"]
    with (tmp_path / "live.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["strategy"], row["load"]) for row in rows] == [
        ("dads", "heavy"), ("exact", "heavy"), ("cloud-only", "light"),
    ]  # fmt: skip
    assert [float(row["latency_ratio"]) for row in rows] == pytest.approx([1.05, 1.05, 1.3])
    assert float(rows[0]["rate_ratio"]) == pytest.approx(1 / 1.05)
    with (tmp_path / "live-trace.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["mean_ratio"]) == pytest.approx(1.0)
    with Image.open(tmp_path / "live.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    console = Console(width=200, file=io.StringIO(), highlight=False)
    show_live(cuts, [trace], console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "latency, live over simulated: 1 of 2 cuts within 10%" in printed
    assert "resnet18 over driving, controller: mean latency 300 ms live, 300 ms simulated" in printed


def test_frames_need_no_fitting(tmp_path: Path) -> None:
    """Twenty pictures over and over, of the size that is cropped without scaling; written anew each time."""
    folder = write_frames(Picture("picture", 224, 224), tmp_path / "frames", 22)
    write_frames(Picture("picture", 96, 96, crop_fraction=1.0), folder, 22)
    paths = sorted(folder.iterdir())
    assert len(paths) == 22
    with Image.open(paths[21]) as last, Image.open(paths[1]) as first:
        assert last.size == (96, 96)
        assert np.array_equal(np.asarray(last), np.asarray(first))


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="absent"):
        run_edge(NETWORK, tmp_path / "absent", server="127.0.0.1:1")


def test_only_networks_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "paper", "--live", "nonsense"])
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.slow
def test_live_for_real(tmp_path: Path) -> None:
    """Server, link and edge as processes: each cut sends what was planned, and takes about as long on the link."""
    said: list[str] = []
    effort = live.Effort(seconds=0.5, alone=(1, 2), together=(2, 4))
    cuts = list(live.run_live([NETWORK], tmp_path, said.append, edge_slowdown=1.0, links=["3G", "WiFi"], effort=effort))
    assert {use for one in cuts for use in one.uses} == {
        (strategy, rate_hz) for strategy in live.STRATEGIES for rate_hz in (published.LIGHT_HZ, published.HEAVY_HZ)
    }
    assert any(not one.sent_bytes[0] for one in cuts)
    for one in cuts:
        planned, sent = one.sent_bytes
        assert planned <= sent <= planned + 1000
        # The link cannot be faster than it is; how slow a busy machine is, no test says.
        assert one.live.latency_s >= 0.95 * 8 * planned / (published.UPLINK_MBPS[one.link] * 1e6)
        assert one.live.edge_s > 0
    assert any("upload input" in text for text in said)


@pytest.mark.slow
def test_over_a_trace_for_real(tmp_path: Path) -> None:
    """The device's controller and a fixed upload, live and simulated."""
    (tmp_path / "steps.csv").write_text("0,20\n6,2\n12,20\n", encoding="utf-8")
    found = list(run_over_trace(NETWORK, tmp_path / "steps.csv", tmp_path, print, edge_slowdown=2.0, longest_s=10.0))
    assert [one.policy for one in found] == ["controller", "upload"]
    for one in found:
        assert len(one.live_s) == sum(one.live_cuts.values())
        assert sum(one.simulated_cuts.values()) == pytest.approx(len(one.live_s))
        assert min(one.live_s) > 0
    # After a late reply the device stays at the edge for a while, whatever the policy.
    assert {"cloud"} <= set(found[1].simulated_cuts) <= {"cloud", "edge"}
