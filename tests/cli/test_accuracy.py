"""Accuracy from the command line: frames in, codecs learnt and measured, plans proved, runs over a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnn_surgery import codecs
from dnn_surgery.cli.main import main
from dnn_surgery.profiling.profile import Profile
from tests.cli.serving import Serving, serving
from tests.evaluation.pictures import IMAGENET

MODEL = ("tests.edge.networks:build", "--trust-model", "--device", "cpu", "--threads", "1")
SLOW = ("--bandwidth", "200kbit/s", "--rtt", "1ms")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures: parts of photographs, each of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, path in enumerate(IMAGENET[:16]):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for part in range(3):
            Image.fromarray(pixels[80 * part :, 80 * part :]).resize((48, 40)).save(folder / f"{index:02}-{part}.png")
    return folder


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A folder with a profile and codecs that `profile` learnt behind the first layer."""
    folder = tmp_path_factory.mktemp("learnt")
    steps = ("--learn", str(folder), "--after", "first.0", "--steps", "0.02,0.3", "--calibration-frames", "12")
    names = ("--codecs", "zstd,int8c+zstd,jpeg90", "-o", str(folder / "here.json"), "--repeats", "2")
    assert main(["profile", *MODEL, "--calibration", str(pictures), *steps, *names]) == 0
    return folder


@pytest.fixture(scope="module")
def files(learnt: Path) -> list[str]:
    return sorted(str(path) for path in learnt.glob("*.klt"))


@pytest.fixture(scope="module")
def server(files: list[str]) -> Iterator[Serving]:
    with serving(*MODEL, "--port", "0", "--json", *flags(files)) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, learnt: Path) -> None:
    """As a new process: it knows no learnt codecs, and nothing was proved before."""
    monkeypatch.setattr(codecs, "_registered", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def flags(files: list[str]) -> list[str]:
    return [part for path in files for part in ("--codec", path)]


def test_profile_learns_measures_and_writes(learnt: Path, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert len(files) == 2
    measured = Profile.load(learnt / "here.json").codecs
    by_codec = {one.codec.split("-")[0]: one for one in measured}
    assert set(by_codec) == {"zstd", "int8c+zstd", "jpeg90", "klt"}
    assert all(one.frames == 12 and one.encode_s > 0 and one.decode_s > 0 for one in measured)
    assert by_codec["zstd"].lossless
    assert not by_codec["int8c+zstd"].lossless
    # What was measured is planned with, if it loses nothing.
    assert main(["plan", str(learnt / "here.json"), "--bandwidth", "1kbit/s", "--cut", "first.0", "--json"]) == 0
    (sent,) = json.loads(capsys.readouterr().out)["sent"]
    assert sent["codec"] == "zstd"


def test_plan_proves_its_winner_and_says_on_how_many_frames(
    learnt: Path, pictures: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--accuracy", "0.85", "--calibration", str(pictures), "--edge", str(learnt / "here.json"), *flags(files))
    assert main(["plan", *MODEL, *SLOW, *asked, "--cut", "first.0", "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    accuracy = found["accuracy"]
    assert accuracy["asked"] == 0.85
    assert accuracy["frames_needed"] == 22
    assert accuracy["rule"] == "the same class first"
    assert found["sent"][0]["codec"] not in ("raw", "zstd")
    assert accuracy["bound"] >= 0.85
    assert accuracy["frames"] == 48 - 12
    assert "12 of 48 calibration frames are left out" in output.err
    assert all(failed["bound"] < 0.85 for failed in accuracy["failed"])
    assert main(["plan", *MODEL, *SLOW, *asked, "--cut", "first.0"]) == 0
    text = capsys.readouterr().out
    assert f"{accuracy['agreeing']} of 36 frames" in text
    assert "proved (Wilson, 95 %); 0.85 takes" in text
    assert "runner-up and the plans for other links are not proved" in text


def test_exact_is_the_default_and_few_frames_are_said(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *MODEL, *SLOW, "--calibration", str(pictures), "--cut", "first.0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"]["asked"] == "exact"
    assert {sent["codec"] for sent in found["sent"]} <= {"raw", "zstd"}
    asked = ("--accuracy", "0.99", "--calibration", str(pictures))
    assert main(["plan", *MODEL, *SLOW, *asked, "--cut", "first.0"]) == 0
    output = capsys.readouterr()
    assert "48 frames cannot prove 0.99: it takes at least 381 that all agree" in output.err
    assert "accuracy: exact: no bit is lost" in output.out
    assert "not proved:" in output.out


def test_run_sends_with_a_learnt_codec_that_both_sides_hold(
    server: Serving, pictures: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--accuracy", "0.85", "--calibration", str(pictures), "--cut", "first.0", *flags(files))
    code = main(
        ["run", *MODEL, "--server", server.event["address"], "--source", str(pictures), *asked, *SLOW, "--json"]
    )
    output = capsys.readouterr()
    records = [json.loads(line) for line in output.out.splitlines()]
    assert code == 0
    assert {record["finished_by"] for record in records} == {"cloud"}
    assert "accuracy: " in output.err
    assert "of 36 frames" in output.err


def test_a_server_without_the_file_leaves_the_frame_to_the_edge_which_says_so(
    pictures: Path, files: list[str], learnt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    klt = [one for one in Profile.load(learnt / "here.json").codecs if one.codec.startswith("klt")]
    path = learnt / "only-klt.json"
    whole = Profile.load(learnt / "here.json")
    document = json.loads(whole.to_json())
    # The learnt codec is said to take a byte, so that it wins over all others on so slow a link.
    document["codecs"] = [
        {**record, "mean_bytes": 1, "p95_bytes": 1} if record["codec"].startswith("klt") else record
        for record in document["codecs"]
    ]
    path.write_text(json.dumps(document))
    assert klt
    with serving(*MODEL, "--port", "0", "--json") as bare:
        address = bare.event["address"]
        asked = ("--accuracy", "0.5", "--calibration", str(pictures), "--cut", "first.0", "--profile", str(path))
        source = ("--server", address, "--source", str(pictures), "--frames", "2", "--in-flight", "1")
        assert main(["run", *MODEL, *source, *asked, *flags(files[:1]), "--bandwidth", "1kbit/s"]) == 0
        output = capsys.readouterr()
        assert "unknown codec 'klt-" in output.out
        assert "0 answered by the cloud, 2 here" in output.err


def test_run_chooses_lossless_codecs_by_itself(
    server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--server", server.event["address"], "--source", str(pictures), "--frames", "2")
    assert main(["run", *MODEL, *source, "--cut", "first.0", "--bandwidth", "10kbit/s"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("accuracy: exact: no bit is lost")]
    assert len(said) == 1
    assert said[0].endswith(" as zstd)")


def test_the_configuration_says_accuracy_calibration_and_codecs(
    server: Serving, pictures: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = server.event["address"].partition(":")
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(
        f"model: {{ref: '{MODEL[0]}', trust_model: true, codecs: {json.dumps(files)}}}\n"
        f'server: {{address: "{host}", port: "{port}"}}\n'
        f"sources: {{door: {{url: {pictures}}}}}\n"
        f"plan: {{accuracy: 0.8, calibration: {pictures}}}\n"
    )
    assert main(["run", "--config", str(configuration), "--threads", "1", *SLOW, "--frames", "1"]) == 0
    assert "accuracy: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", *MODEL, *SLOW, "--accuracy", "0.9"), "--accuracy 0.9 needs --calibration"),
        (("plan", *MODEL, *SLOW, "--accuracy", "good", "--calibration", "."), "cannot read 'good' as an accuracy"),
        (("plan", *MODEL, *SLOW, "--accuracy", "1", "--calibration", "."), "lies between 0 and 1"),
        (("plan", "x.json", *SLOW, "--accuracy", "0.9", "--calibration", "."), "proved by running the model"),
        (("plan", *MODEL, *SLOW, "--calibration", "nothing"), "nothing: no such file or folder"),
        (("plan", *MODEL, *SLOW, "--codec", "nothing.klt"), "cannot read the transform nothing.klt"),
        (("profile", *MODEL, "--codecs", "all"), "--codecs needs --calibration"),
        (("profile", *MODEL, "--calibration", "."), "--calibration goes with --codecs or --learn"),
        (("profile", *MODEL, "--steps", "1"), "--after and --steps go with --learn"),
        (("run", *MODEL, "--source", ".", "--local", "--accuracy", "0.9"), "does not go with --accuracy"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(arguments)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_unknown_codecs_and_steps_are_one_line(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = ("--calibration", str(pictures), "--calibration-frames", "2", "--repeats", "1")
    assert main(["profile", *MODEL, *frames, "--codecs", "zip"]) == 2
    assert "unknown codec 'zip'" in capsys.readouterr().err.splitlines()[-1]
    assert main(["profile", *MODEL, *frames, "--learn", str(tmp_path), "--steps", "fine"]) == 2
    assert "--steps needs numbers" in capsys.readouterr().err.splitlines()[-1]
    assert main(["profile", *MODEL, *frames, "--learn", str(tmp_path), "--after", "nowhere"]) == 2
    assert "no layer 'nowhere'" in capsys.readouterr().err.splitlines()[-1]
