from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.profiling.profile import Profile

MODEL = ("tests.edge.networks:build", "--trust-model", "--device", "cpu", "--threads", "1", "--repeats", "2")


def test_it_writes_a_file_that_plan_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "here.json"
    assert main(["profile", *MODEL, "-o", str(path)]) == 0
    assert "first.0" in capsys.readouterr().out
    measured = Profile.load(path)
    assert measured.engine["threads"] == 1
    assert measured.whole_s > 0
    assert main(["plan", str(path), "--edge-slowdown", "8", "--bandwidth", "1Mbit/s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "dnn-surgery/plan/1"


def test_without_a_file_the_profile_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MODEL, "--json"]) == 0
    assert Profile.from_json(capsys.readouterr().out).repeats == 2


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MODEL, "-o", str(tmp_path / "absent" / "x.json")]) == 2
    assert "cannot write profile" in capsys.readouterr().err.splitlines()[-1]
