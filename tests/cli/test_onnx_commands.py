"""ONNX Runtime over a real socket: ONNX files served and cut, with stages or without; another engine on each side."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from dnn_surgery.edge.connection import connect
from dnn_surgery.errors import SurgeryError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import Link
from dnn_surgery.protocol.client import InferenceClient
from tests.cli.serving import FACTORY, environment, serving
from tests.cli.test_run_detector import CONFIGURATION
from tests.evaluation.pictures import IMAGENET
from tests.onnx_files import REAL_FILES, residual_model, small_model

LINK = Link(bandwidth_bps=1e7, rtt_s=0.001)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_an_onnx_file_is_served_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(small_model(), path)
    graph = load_model(str(path))
    x = {"x": np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)}
    engine = make_engine(graph, threads=1)
    expected = engine.part(graph.inputs, graph.outputs)(x)
    with serving(str(path), "--threads", "1", "--port", "0", "--json") as server:
        for cut in ("x", "below"):
            with connect(graph, server.event["address"], cut=cut, link=LINK, engine=engine) as edge:
                result = edge(x)
            assert (result.finished_by, result.failure) == ("cloud", None)
            for name in graph.outputs:
                assert deviation(result.outputs[name], expected[name]) <= TOLERANCE


def test_torch_at_the_edge_and_onnx_runtime_in_the_cloud() -> None:
    graph = load_model(FACTORY, trust_model=True)
    torch_engine = make_engine(graph, device="cpu", threads=1)
    example = {name: torch_engine.to_array(value) for name, value in torch_engine.example().items()}
    expected = torch_engine.part(graph.inputs, graph.outputs)(example)
    border = next(layer.name for layer in graph.layers if layer.inputs)
    options = ("--trust-model", "--engine", "onnxruntime", "--threads", "1", "--port", "0", "--json")
    with serving(FACTORY, *options) as server:
        address = server.event["address"]
        with connect(graph, address, cut=border, link=LINK, engine=torch_engine) as edge:
            results = [edge(example) for _ in range(40)]
        assert results[-1].finished_by == "cloud", results[-1].failure
        for name in graph.outputs:
            assert deviation(results[-1].outputs[name], expected[name]) <= TOLERANCE


DETECTOR = f"""\
model:
  ref: {REAL_FILES["yolov8"][0]}
  preprocess: {{resize: letterbox, size: 320, scale: 0.00392157, color: rgb}}
  postprocess: {{task: detect, confidence: 0.2, iou: 0.45}}
engine: {{threads: 1}}
"""

# Whatever imports torch fails with this before everything else on the path of modules.
NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnxscript"):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of a real detector; processes started here cannot import torch."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(NO_TORCH)
    (tmp_path / "detector.yaml").write_text(DETECTOR)
    paths = f"{tmp_path / 'blocked'}:{environment()['PYTHONPATH']}"
    monkeypatch.setattr("tests.cli.serving.environment", lambda: {**environment(), "PYTHONPATH": paths})
    return tmp_path


def command(folder: Path, *arguments: str) -> str:
    paths = f"{folder / 'blocked'}:{environment()['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dnn_surgery", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_detector_s_file_needs_no_torch_from_picture_to_boxes(without_torch: Path) -> None:
    config = ["--config", str(without_torch / "detector.yaml")]
    profile = json.loads(command(without_torch, "profile", *config, "--repeats", "1", "--json"))
    names = [layer["name"] for layer in profile["layers"]]
    assert (names[0], names[1], names[-1]) == ("picture", "input", "detections")
    run = ["run", *config, "--source", str(IMAGENET[0]), "--json"]
    found = {}
    with serving(*config, "--port", "0", "--json") as server:
        for cut in ("picture", "input", None):
            where = ["--local"] if cut is None else ["--server", server.event["address"], "--cut", cut]
            (record,) = map(json.loads, command(without_torch, *run, *where).splitlines())
            assert record["finished_by"] == ("edge" if cut is None else "cloud"), record
            found[cut] = record["detections"]
    assert found["picture"]
    for one, other in itertools.combinations(found.values(), 2):
        assert [item["class"] for item in one] == [item["class"] for item in other]
        for left, right in zip(one, other, strict=True):
            assert left["box"] == pytest.approx(right["box"], abs=0.1)
            assert left["confidence"] == pytest.approx(right["confidence"], abs=TOLERANCE)


def test_a_cut_that_is_not_compiled_is_finished_at_the_edge_until_it_is(tmp_path: Path) -> None:
    path = tmp_path / "residual.onnx"
    onnx.save(residual_model(), path)
    graph = load_model(str(path))
    inside = graph.edge_layers("second")
    assert len(graph.boundary(inside)) == 2
    x = {"x": np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)}
    engine = make_engine(graph, threads=1)
    expected = engine.part(graph.inputs, graph.outputs)(x)
    with serving(str(path), "--threads", "1", "--port", "0", "--json") as server:
        boundary = engine.part(graph.inputs, graph.boundary(inside))(x)
        with (
            InferenceClient(server.event["address"], model_name=graph.name, fingerprint=graph.fingerprint) as client,
            pytest.raises(SurgeryError, match="is being compiled; ask again"),
        ):
            client.infer(boundary)
    with (
        serving(str(path), "--threads", "1", "--port", "0", "--json") as server,
        connect(graph, server.event["address"], cut="second", link=LINK, engine=engine) as edge,
    ):
        first = edge(x)
        assert first.finished_by == "edge"
        assert "is being compiled; ask again" in str(first.failure)
        later = next(result for _ in itertools.count() if (result := edge(x)).finished_by == "cloud")
    for result in (first, later):
        for name in graph.outputs:
            assert deviation(result.outputs[name], expected[name]) <= TOLERANCE


def test_run_with_onnx_runtime_against_a_server_with_pytorch(tmp_path: Path) -> None:
    (tmp_path / "configuration.yaml").write_text(CONFIGURATION)
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    pixels = np.full((128, 256, 3), 90, np.uint8)
    pixels[32:64, 64:96] = [250, 0, 0]
    Image.fromarray(pixels).save(tmp_path / "frame.png")
    config = ["--config", str(tmp_path / "configuration.yaml")]
    with serving(*config, "--engine", "torch", "--port", "0", "--json") as server:
        where = ["--server", server.event["address"], "--cut", "input", "--engine", "onnxruntime"]
        source = ["--source", str(tmp_path / "frame.png"), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "dnn_surgery", "run", *config, *where, *source],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["finished_by"] == "cloud"
    assert [(item["label"], item["box"]) for item in record["detections"]] == [("red", [64, 32, 96, 64])]
