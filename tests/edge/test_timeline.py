"""The trace file: loadable, every stage there, none over another on one track."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.edge.runtime import Edge
from dnn_surgery.edge.timeline import TimelineWriter
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.network.shaping import ShapedLink
from tests.edge.test_runtime import CUT, client_through, frames


def test_a_run_with_a_lost_server_is_drawn_without_overlaps(engine: Engine, tmp_path: Path) -> None:
    path, given = tmp_path / "trace.json", frames(engine.graph, 30)
    with (
        CloudServer(engine) as server,
        ShapedLink(server.address, up_bps=5e6, delay_s=0.005) as link,
        client_through(link, engine.graph) as client,
    ):
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
        results = []
        with TimelineWriter(path, rtt_s=lambda: edge.watch.rtt_s) as timeline:
            for result in edge.stream(given):
                results.append(result)
                timeline.add(result)
                if len(results) == 15:
                    link.cut()
                    timeline.event("the link was cut", result.times.answered_s)
    events = json.loads(path.read_text())
    assert {event["args"]["name"] for event in events if event["name"] == "process_name"} == {"edge", "cloud"}
    assert [event["name"] for event in events if event["ph"] == "i"] == ["the link was cut"]
    stages = [event for event in events if event["ph"] == "X"]
    names = [(stage["name"], stage["args"]["index"]) for stage in stages]
    assert len(set(names)) == len(names)
    assert {index for name, index in names if name == "head"} == set(range(30))
    finished = {result.index for result in results if result.finished_by == "edge"}
    assert finished
    assert {index for name, index in names if name == "local finish"} == finished
    assert {index for name, index in names if name == "tail"} == set(range(30)) - finished
    check_tracks(stages)
    for result in results:
        if result.finished_by == "cloud":
            head, upload, tail = (stage_of(stages, name, result.index) for name in ("head", "upload", "tail"))
            assert head["ts"] + head["dur"] <= upload["ts"] + 0.2
            assert upload["ts"] <= tail["ts"] + 0.2


def check_tracks(stages: list[dict[str, Any]]) -> None:
    """On one track a stage begins after the one before it has ended (0.2 microseconds are lost in rounding)."""
    tracks = defaultdict(list)
    for stage in stages:
        assert stage["dur"] >= 0
        tracks[stage["pid"], stage["tid"]].append((stage["ts"], stage["ts"] + stage["dur"]))
    assert len(tracks) == 3
    for spans in tracks.values():
        spans.sort()
        assert all(before[1] <= after[0] + 0.2 for before, after in itertools.pairwise(spans))


def stage_of(stages: list[dict[str, Any]], name: str, index: int) -> dict[str, Any]:
    (found,) = [stage for stage in stages if stage["name"] == name and stage["args"]["index"] == index]
    return found


def test_a_run_that_is_killed_leaves_a_trace_that_can_be_mended(tmp_path: Path) -> None:
    timeline = TimelineWriter(tmp_path / "trace.json")
    timeline.event("something", 1.0)
    timeline._file.flush()
    text = (tmp_path / "trace.json").read_text()
    assert json.loads(text.rstrip().rstrip(",") + "]")  # the format allows the bracket to be missing
    timeline.close()
    timeline.close()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        TimelineWriter(tmp_path / "nowhere" / "trace.json")
