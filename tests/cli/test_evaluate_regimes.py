"""`evaluate regimes` by its command. What it measures and runs: tests/evaluation/test_regimes.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.evaluation.regimes.cases import CASES


def test_the_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "regimes", "--list"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [case.name for case in CASES]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--case", "lite0-film"), "no case 'lite0-film'; did you mean 'lite0-films'"),
        (("--kind", "latencies"), "no kind 'latencies'; did you mean 'latency'"),
        (("--frames", "0"), "--frames must be at least 1"),
        (("-o", "taken"), "cannot write to taken"),
    ],
)
def test_what_makes_no_sense_is_said(
    flags: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    assert main(["evaluate", "regimes", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_run_from_search_to_live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--case", "lite0-pictures", "--kind", "picture kept here, latency", "--frames", "20", "--json"]
    assert main(["evaluate", "regimes", *flags, "-o", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    won, lost = document["live"]
    assert won["kind"] == lost["kind"] == "picture kept here, latency"
    for one in (won, lost):
        assert all(way["agreeing"] >= 0.8 * way["frames"] for way in one["ways"])
    assert {path.name for path in tmp_path.iterdir()} >= {"regimes.csv", "live.csv", "regimes.json", "regimes.png"}
