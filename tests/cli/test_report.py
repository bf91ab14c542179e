"""`dnn-surgery report` as a user runs it: from files alone, pictures that are pictures, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnn_surgery.cli.main import main

PAPER = str(Path(__file__).parents[1] / "planning" / "data" / "paper-tiny-yolov2.json")
PICTURES = {"regimes", "graph", "bandwidth", "stages", "frontier", "layer_sizes", "layer_times"}


def test_pictures_and_page_from_a_problem_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every picture is drawn (many colours, not one), and the page holds them all."""
    frames = tmp_path / "frames.jsonl"
    records = [
        {"index": i, "cut": "max5" if i < 20 else "max3", "edge_s": 0.1, "transfer_s": 0.05, "cloud_s": 0.02,
         "local_s": 0.0, "latency_s": 0.17, "failure": "no answer" if i == 12 else None}
        for i in range(40)
    ]  # fmt: skip
    frames.write_text("\n".join(map(json.dumps, records)))
    folder = tmp_path / "made"
    assert main(["report", PAPER, "--bandwidth", "4Mbit/s", "-o", str(folder), "--frames", str(frames)]) == 0
    said = capsys.readouterr().out.split()
    assert {Path(line).name for line in said} == {*(f"{name}.png" for name in PICTURES), "timeline.png", "report.html"}
    for picture in folder.glob("*.png"):
        pixels = np.asarray(Image.open(picture).convert("RGB"))
        assert min(pixels.shape[:2]) > 200, picture
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, picture
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == len(PICTURES) + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([PAPER, "--bandwidth", "fast"], "fast"),
        ([PAPER, "--jpeg", "-3"], "negative"),
        ([], "nothing to plan"),
        (["absent.json"], "absent.json"),
        ([PAPER, "--frames", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input: exit code 2 and one line that names it."""
    assert main(["report", *arguments, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dnn-surgery: error: ")
    assert words in error
    assert error.count("\n") == 1


def test_a_run_that_holds_no_frames_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file and line."""
    frames = tmp_path / "frames.jsonl"
    frames.write_text('{"event": "decision"}\nno json\n')
    assert main(["report", PAPER, "-o", str(tmp_path), "--frames", str(frames)]) == 2
    assert f"{frames}:2" in capsys.readouterr().err


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is overwritten."""
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert main(["report", PAPER, "-o", str(taken)]) == 2
    assert str(taken) in capsys.readouterr().err
    assert taken.read_text() == "mine"
