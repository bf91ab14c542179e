"""What benchmarks keep, and the page that shows it."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figure import Figure
from benchmarks.results import keep_result, page, read_results, result

HELD = Figure("quick enough", 1.02, at_most=1.05, spread=0.011)
MISSED = Figure("many a second", 8.0, unit="/s", at_least=9.0)
TOLD = Figure("a|b", 12.3456, unit="ms")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "benchmarks.json"
    keep_result(path, "wire", result("An older run", [MISSED], 1.0))
    keep_result(path, "cloud", result("A server.", [HELD, TOLD], 61.4))
    keep_result(path, "wire", result("A request", [MISSED], 2.0))
    return path


def test_a_run_takes_the_place_of_the_last_of_its_name_and_no_other(kept: Path) -> None:
    results = read_results(kept)
    assert list(results) == ["cloud", "wire"]
    assert results["cloud"].figures == [HELD, TOLD]
    assert (results["wire"].title, results["wire"].took_s) == ("A request", 2.0)


def test_no_file_and_an_older_form_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    assert read_results(path) == {}
    path.write_text('{"schema": "dnn-surgery/benchmarks/1", "benchmarks": {}}', encoding="utf-8")
    assert read_results(path) == {}


def test_the_page_counts_goals_and_shows_what_is_missed(kept: Path) -> None:
    lines = page(read_results(kept)).splitlines()
    assert "1 of 2 goals hold." in lines
    assert "| [cloud](#cloud) | quick enough | 1.02 x | 0.011 | <= 1.05 | yes |" in lines
    assert "| [wire](#wire) | many a second | 8 /s |  | >= 9 | **no** |" in lines
    assert r"| a\|b | 12.35 ms |  |" in lines
    assert "A server." in lines
    assert any(line.startswith("`python -m benchmarks cloud`: 61 s on ") for line in lines)


def test_an_unknown_name_is_told_what_there_is() -> None:
    ended = subprocess.run([sys.executable, "-m", "benchmarks", "wires"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no benchmark 'wires'; there is" in ended.stderr
    assert "wire" in ended.stderr
