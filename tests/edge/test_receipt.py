"""What a run says it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnn_surgery import codecs
from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.receipt import Receipt
from dnn_surgery.edge.result import FrameResult, FrameTimes
from dnn_surgery.report.receipt_lines import receipt_lines


def result(index: int, **changes: Any) -> FrameResult:
    times = FrameTimes(taken_s=100.0 + index, edge_end_s=100.5 + index)
    given: dict[str, Any] = {
        "finished_by": "cloud",
        "latency_s": 0.1 * (index + 1),
        "edge_s": 0.1,
        "sent_bytes": 1000,
        "cut": "a",
    }
    return FrameResult(index=index, name=str(index), outputs={}, times=times, **(given | changes))


def test_it_counts_who_answered_and_why() -> None:
    receipt = Receipt()
    receipt.add(result(0))
    receipt.add(result(1, finished_by="edge", failure="gone", sent_bytes=0, late=True))
    receipt.add(result(2, finished_by="edge", cut="edge", sent_bytes=0))
    receipt.add(result(3, finished_by="nobody", failure="no room", sent_bytes=0))
    record = receipt.record(sent_bytes=5000, budget_left_bytes=-3.0, skipped={"gate": 2})
    assert (record["frames"], record["by_cloud"], record["by_edge"]) == (4, 1, 2)
    assert (record["local_finishes"], record["failed"], record["late"]) == (1, 1, 1)
    assert record["cuts"] == {"a": 3, "edge": 1}
    assert record["sent_bytes"] == 5000
    assert record["budget_left_bytes"] == 0
    assert record["first_failure"] == "gone"
    assert record["latency_p95_s"] == pytest.approx(0.4)
    assert record["frames_per_s"] == pytest.approx(4 / 3.5)
    text = "\n".join(receipt_lines(record))
    assert "4 frames" in text
    assert "1 failed" in text
    assert "a 3, edge 1" in text
    assert "0 B of the data budget left" in text


def test_what_jpegs_would_have_taken_is_sampled_and_scaled() -> None:
    receipt = Receipt()
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    for index in range(10):
        receipt.sample_picture(index, NamedInputs("", {"picture": picture}), "picture")
        receipt.add(result(index))
    assert receipt.jpeg_bytes == pytest.approx(10 * len(codecs.encode("jpeg95", picture)))
    assert "times the" in "\n".join(receipt_lines(receipt.record()))


def test_a_long_run_takes_no_more_memory_than_a_short_one() -> None:
    receipt = Receipt()
    for index in range(20_000):
        receipt.add(result(0, latency_s=float(index % 100)))
    assert len(receipt._latencies_s) == 4096
    assert receipt.latency_s(0.5) == pytest.approx(50, abs=5)


def test_no_frames_is_said() -> None:
    assert list(receipt_lines(Receipt().record())) == ["no frames"]
