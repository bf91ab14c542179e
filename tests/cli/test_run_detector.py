"""`run` and `serve` of a user's own detector: pictures in, boxes in the frame's pixels out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnn_surgery.cli.main import main
from tests.cli.serving import Serving, serving

CONFIGURATION = """\
model:
  ref: tests.edge.detectors:like_yolov8
  trust_model: true
  labels: labels.txt
  preprocess: {resize: letterbox, size: 128, scale: 0.00392157, color: rgb}
  postprocess: {task: detect, confidence: 0.5, iou: 0.5}
engine: {threads: 1}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, labels, and a frame of 256 x 128 with a red square and a blue one."""
    folder = tmp_path_factory.mktemp("detector")
    (folder / "configuration.yaml").write_text(CONFIGURATION)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    pixels = np.full((128, 256, 3), 90, np.uint8)
    pixels[32:64, 64:96] = [250, 0, 0]
    pixels[64:96, 160:192] = [0, 0, 200]
    Image.fromarray(pixels).save(folder / "frame.png")
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Serving]:
    with serving("--config", str(home / "configuration.yaml"), "--port", "0", "--json") as running:
        yield running


def run(home: Path, *arguments: str, configuration: str = "configuration.yaml") -> int:
    return main(["run", "--config", str(home / configuration), "--source", str(home / "frame.png"), *arguments])


@pytest.mark.parametrize("cut", ["picture", "input", None])
def test_boxes_come_back_in_the_frame_s_pixels(
    cut: str | None, home: Path, server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--local"] if cut is None else ["--server", server.event["address"], "--cut", cut]
    assert run(home, *where, "--json") == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert record["finished_by"] == ("edge" if cut is None else "cloud")
    red, blue = record["detections"]
    assert (red["label"], red["class"], blue["label"]) == ("red", 0, "blue")
    # Bicubic resizing lets what is beside a square in: a little less sure, the places exact.
    assert red["box"] == [64, 32, 96, 64]
    assert blue["box"] == [160, 64, 192, 96]
    assert red["confidence"] == pytest.approx(250 / 255, abs=0.05)
    assert "outputs" not in record


def test_people_read_them_in_the_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "--local") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("frame.png: red 9")
    assert " % at 64,32 - 96,64; blue 7" in line


def test_a_frame_without_anything_says_so(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "dark.png")
    arguments = ["run", "--config", str(home / "configuration.yaml"), "--source", str(tmp_path / "dark.png"), "--local"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("dark.png: nothing found  (")


@pytest.mark.parametrize(("key", "value"), [("color: rgb", "color: bgr"), ("iou: 0.5", "iou: 0.6")])
def test_the_server_must_have_been_told_the_same(
    key: str, value: str, home: Path, server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "other.yaml").write_text(CONFIGURATION.replace(key, value))
    assert run(home, "--server", server.event["address"], configuration="other.yaml") == 3
    assert "has fingerprint" in capsys.readouterr().err


def test_none_prints_the_arrays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "none.yaml").write_text(CONFIGURATION.replace("{task: detect, confidence: 0.5, iou: 0.5}", "{task: none}"))
    assert run(home, "--local", "--json", configuration="none.yaml") == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert np.asarray(record["outputs"][next(iter(record["outputs"]))]).shape == (1, 7, 64)


def test_a_bundle_holds_both_stages_and_the_labels(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the configuration is needed any more."""
    bundle = str(tmp_path / "detector.bundle")
    config = ["--config", str(home / "configuration.yaml")]
    assert main(["export", *config, "--format", "bundle", "-o", bundle]) == 0
    capsys.readouterr()
    assert main(["run", bundle, "--source", str(home / "frame.png"), "--local", "--json", "--threads", "1"]) == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [(one["label"], one["box"]) for one in record["detections"]]
    assert found == [("red", [64, 32, 96, 64]), ("blue", [160, 64, 192, 96])]


def test_profile_reads_the_same_sections(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--config", str(home / "configuration.yaml"), "--repeats", "1", "--json"]) == 0
    names = [layer["name"] for layer in json.loads(capsys.readouterr().out)["layers"]]
    assert (names[0], names[-1]) == ("picture", "detections")
