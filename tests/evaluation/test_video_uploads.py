"""A real film as jpegs and as H.264, by the same guard, in the table of policies."""

import csv
import sys
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.errors import SourceError
from dnn_surgery.evaluation import video_uploads
from dnn_surgery.evaluation.contenders import baselines
from dnn_surgery.evaluation.regret import Experiment, play
from dnn_surgery.evaluation.video_stream import send
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.traces import SteppedTrace
from dnn_surgery.planning import Problem
from tests.evaluation.pictures import BIKES

BUNNY = BIKES.with_name("bigbuckbunny.mp4")
NETWORK = "efficientnet_lite0"


Uploads = tuple[video_uploads.VideoUpload, video_uploads.VideoUpload]


@pytest.fixture(autouse=True, scope="module")
def few_frames() -> Iterator[None]:
    """As many as a test has time for; settings that pass among ones that do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_uploads, "MOST_FRAMES", 24)
        patch.setattr(video_uploads, "QUALITIES", (1, 100))
        patch.setattr(video_uploads, "FACTORS", (51, 1))
        yield


@pytest.fixture(scope="module")
def uploads(few_frames: None) -> Uploads:
    return video_uploads.video_uploads(load_model(NETWORK), str(BUNNY), 0.5, 8.0)


def test_the_smallest_setting_that_is_proved(uploads: Uploads) -> None:
    for upload, kind, name in zip(uploads, ("jpeg", "h264"), ("jpeg100", "h264-crf1"), strict=True):
        assert upload.kind == kind
        assert upload.cost.name == name
        assert upload.is_proved
        assert upload.agreement.frames == 24
        assert name in upload.text


def test_what_no_setting_proves_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_uploads, "QUALITIES", (1,))
    monkeypatch.setattr(video_uploads, "FACTORS", (51,))
    for upload in video_uploads.video_uploads(load_model(NETWORK), str(BIKES), 0.8, 1.0):
        assert not upload.is_proved
        assert upload.text.startswith("left out, no setting is proved at 0.8")


def test_a_stream_knows_the_frames_before_it() -> None:
    """Coarser is smaller and further from the film; neighbours cost less than the same pictures alone."""
    with open_source(BIKES) as source:
        frames = [fit(frame.pixels, Picture("picture", 224, 224)) for frame in islice(source, 12)]
    fine, coarse = send(frames, 10), send(frames, 28)
    assert len(fine.frames) == len(coarse.frames) == 12
    assert coarse.size_bytes < fine.size_bytes

    def apart(stream: list[np.ndarray]) -> float:
        return float(
            np.mean([np.abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(frames, stream, strict=True)])
        )

    assert apart(fine.frames) < apart(coarse.frames)
    alone = np.mean([send([frame], 18).size_bytes for frame in frames])
    assert send(frames, 18).size_bytes < alone


def test_it_is_played_beside_the_jpeg_of_the_problem(uploads: Uploads) -> None:
    """On a steady link: head, transfer, round trip, tail, by hand."""
    text = (resources.files("dnn_surgery.evaluation") / "problems" / f"{NETWORK}.json").read_text(encoding="utf-8")
    problem = Problem.from_json(text)
    experiment = Experiment.over(
        problem, SteppedTrace(np.array([0.0, 50.0]), np.array([2e6, 2e6]), 100.0), "flat", starts=1
    )
    theirs = play(experiment, "cloud-only", baselines(experiment)["cloud-only"])
    whole_s = sum(layer.cloud_s for layer in problem.layers if layer.inputs)
    for upload in uploads:
        played = video_uploads.play_upload(experiment, upload)
        assert len(played.runs[0].latency_s) == len(theirs.runs[0].latency_s)
        size = played.runs[0].values()["sent_bytes"]
        assert size == pytest.approx(upload.cost.size_bytes)
        by_hand = upload.cost.encode_s + 8 * size / 2e6 + 0.04 + upload.cost.decode_s + whole_s
        assert played.mean_s == pytest.approx(by_hand, rel=0.02)


def test_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_uploads, "MOST_FRAMES", 40)
    (tmp_path / "my.csv").write_text("0,2\n100,2\n", encoding="utf-8")
    flags = ["--trace", str(tmp_path / "my.csv"), "--no-tuned", "--starts", "1", "-o", str(tmp_path)]
    assert main(["evaluate", "traces", "--video", str(BUNNY), "--accuracy", "0.5", *flags]) == 0
    printed = capsys.readouterr().out
    assert "cloud-h264" in printed
    assert "resnet18" not in printed
    with (tmp_path / "traces.csv").open(encoding="utf-8") as file:
        policies = {row["policy"] for row in csv.DictReader(file)}
    assert policies >= {"cloud-h264", "cloud-jpeg", "cloud-only"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--accuracy", "exact"], "neither a jpeg nor H.264"),
        (["--private"], "--private"),
        (["--accuracy", "0.999"], "cannot prove 0.999"),
        (["--video", "absent.mp4"], "absent.mp4"),
    ],
)
def test_what_cannot_be_is_said(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.csv").write_text("0,2\n100,2\n", encoding="utf-8")
    given = ["--trace", str(tmp_path / "my.csv"), "--video", str(BUNNY), *flags]
    assert main(["evaluate", "traces", *given]) == 2
    assert said in capsys.readouterr().err


def test_without_an_encoder_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError, match="dnn-surgery\\[video\\]"):
        send([np.zeros((1, 32, 32, 3), np.uint8)], 20)
