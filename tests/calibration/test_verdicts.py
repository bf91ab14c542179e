"""Verdicts are remembered by what they rest on, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.guard import Verifier
from dnn_surgery.calibration.verdicts import CachedVerifier, frame_digest, verdicts_path
from dnn_surgery.execution.engine import Array
from dnn_surgery.planning import Link, Plan
from tests.calibration.test_guard import PROBLEM

LINK = Link(bandwidth_bps=8e3)


def plan_of(codec: str) -> Plan:
    return PROBLEM.cost(edge=("in", "a"), link=LINK, codecs={"a": codec})


class Counting:
    """A verifier that counts how often it is made and asked."""

    def __init__(self) -> None:
        self.made, self.asked = 0, list[str]()

    def make(self) -> Verifier:
        self.made += 1
        return self.verify

    def verify(self, plan: Plan) -> Agreement:
        self.asked.append(plan.sent[0].codec)
        return Agreement(9, 10, decided=True)


def test_a_second_start_asks_nothing_again(tmp_path: Path) -> None:
    path, first, second = tmp_path / "deep" / "verdicts.json", Counting(), Counting()
    verifier = CachedVerifier(path, first.make)
    assert not verifier.knows(plan_of("int4"))
    for codec in ("int4", "int8", "int4"):
        assert verifier(plan_of(codec)) == Agreement(9, 10, decided=True)
    assert (first.made, first.asked) == (1, ["int4", "int8"])
    again = CachedVerifier(path, second.make)
    assert again.knows(plan_of("int4"))
    assert again(plan_of("int8")) == Agreement(9, 10, decided=True)
    assert second.made == 0
    again(plan_of("zstd"))
    assert second.asked == ["zstd"]


def test_a_damaged_file_costs_time_only(tmp_path: Path) -> None:
    path, counting = tmp_path / "verdicts.json", Counting()
    for text in ("", "[1]", '{"x": [3, 2]}', '{"x": 1}', "\\xff"):
        path.write_text(text)
        assert CachedVerifier(path, counting.make)(plan_of("int4")).frames == 10
    folder = tmp_path / "folder"
    folder.mkdir()
    assert CachedVerifier(folder, counting.make)(plan_of("int4")).frames == 10


def test_what_verdicts_rest_on_is_in_their_name() -> None:
    frame = {"x": np.arange(6, dtype=np.float32)}
    digest = frame_digest(frame)
    others: list[dict[str, Array]] = [
        {"y": frame["x"]},
        {"x": frame["x"] + 1},
        {"x": frame["x"].reshape(2, 3)},
        {"x": frame["x"].view("i4")},
    ]
    assert len({digest, *(frame_digest(other) for other in others)}) == 5
    assert frame_digest({"x": frame["x"].copy()}) == digest

    def path(**changes: object) -> Path:
        options = {"accuracy": 0.9, "rule": "top", "engine": "torch 2"} | changes
        return verdicts_path("f" * 64, [digest], **options)  # type: ignore[arg-type]

    paths = [path(), path(accuracy=0.99), path(rule="boxes"), path(engine="torch 3")]
    paths.append(verdicts_path("e" * 64, [digest], accuracy=0.9, rule="top", engine="torch 2"))
    paths.append(verdicts_path("f" * 64, [digest, digest], accuracy=0.9, rule="top", engine="torch 2"))
    assert len(set(paths)) == len(paths)
    assert path() == path()
