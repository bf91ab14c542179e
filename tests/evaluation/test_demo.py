"""The demo for real, with little time for each figure: a server process, shaped links, a kill."""

from __future__ import annotations

import json

import pytest

from dnn_surgery.evaluation.demo import Demo, run_demo
from dnn_surgery.evaluation.live import Budget
from dnn_surgery.evaluation.strategies import PAPER_LINKS_BPS
from dnn_surgery.report.demo_tables import best, demo_record, show_demo


@pytest.fixture(scope="module")
def demo() -> Demo:
    steps: list[str] = []
    seen = run_demo(
        slowdown=2.0, rtt_s=0.01, budget=Budget(seconds=0.3, frame_s=0.5), paper_models=["nin"], report=steps.append
    )
    assert len(steps) > 10
    return seen


def test_every_link_has_every_strategy(demo: Demo) -> None:
    assert [row.network for row in demo.rows] == list(PAPER_LINKS_BPS)
    for row in demo.rows:
        assert [cell.strategy.name for cell in row.cells] == ["edge", "float32", "jpeg", "split"]
        edge, float32, jpeg, split = (cell.strategy for cell in row.cells)
        assert edge.plan.sent == ()
        assert [sent.bytes for sent in float32.plan.sent] == [224 * 224 * 3 * 4]
        assert [sent.codec for sent in jpeg.plan.sent] == ["jpeg95"]
        assert split.plan.edge_s > float32.plan.edge_s
        assert 0 < split.plan.cloud_s < float32.plan.cloud_s


def test_what_takes_too_long_is_predicted_only_and_the_rest_is_measured(demo: Demo) -> None:
    for cell in (cell for row in demo.rows for cell in row.cells):
        assert (cell.seen is None) == (cell.strategy.plan.latency_s > 0.5)
        if cell.seen is not None:
            # The link carries no byte faster than its rate.
            assert cell.seen.latency_s > cell.strategy.plan.transfer_s * 0.95
            assert cell.latency_s == cell.seen.latency_s


def test_answers_are_exact_and_no_frame_is_lost(demo: Demo) -> None:
    assert demo.answers.pictures == 20
    assert demo.answers.right >= 18
    assert demo.answers.exact_results == demo.answers.equal_results > 0
    assert demo.kill.frames == demo.kill.results == demo.kill.equal == 20
    assert 0 < demo.kill.by_edge < 20
    assert demo.kill.failure


def test_the_verdict_is_the_best_of_the_row(demo: Demo) -> None:
    for row in demo.rows:
        latency_s = {cell.strategy.name: cell.latency_s for cell in row.cells}
        name, factor = best(row.cells, "latency")
        others = [latency_s[other] for other in ("edge", "jpeg", "split") if other != name]
        assert latency_s[name] <= min(others)
        assert factor == min(others) / latency_s[name]


def test_tables_and_record_say_the_same(demo: Demo) -> None:
    from rich.console import Console

    console = Console(width=140, record=True)
    show_demo(demo, console)
    text = console.export_text()
    record = json.loads(json.dumps(demo_record(demo)))
    assert [row["link"] for row in record["links"]] == list(PAPER_LINKS_BPS)
    assert "an emulated device" in text
    assert "predicted only" in text
    assert "20 frames taken in, 0 lost" in text
    assert record["kill"]["lost"] == 0
    assert list(record["predicted_only"]) == ["nin"]
    assert all(
        strategy["measured"] is None for row in record["predicted_only"]["nin"] for strategy in row["strategies"]
    )
