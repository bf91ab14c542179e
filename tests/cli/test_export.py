"""`dnn-surgery export`: what it writes runs by itself and is the model, and each mistake a user can make with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from tests.cli.serving import environment
from tests.onnx_files import REAL_FILES, small_model

YOLO = str(REAL_FILES["yolov8"][0])
BRANCHES = "tests.cloud.network:build"


def run_file(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """A file by itself: no cache, no weights file of ours beside it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {v.name: inputs[v.name] for v in session.get_inputs()}), strict=True))


def random_inputs(engine: Engine) -> dict[str, Any]:
    """Not the traced example, on which the command has checked already."""
    source, made = np.random.default_rng(7), {}
    for name, native in engine.example().items():
        array = engine.to_array(native)
        made[name] = (source.random(array.shape) * (255 if array.dtype == np.uint8 else 1)).astype(array.dtype)
    return made


def assert_parts_are_the_model(folder: Path, graph: ModelGraph) -> dict[str, Any]:
    """Head, then tail, then compared with an engine that knows nothing of the files; returns the manifest."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert (manifest["schema"], manifest["fingerprint"]) == ("dnn-surgery/export/1", graph.fingerprint)
    engine = make_engine(graph, threads=1)
    inputs = random_inputs(engine)
    expected = engine.part(graph.inputs, graph.outputs)(inputs)
    assert manifest["cuts"]
    for cut in manifest["cuts"]:
        held = dict(inputs)
        for part in (cut["head"], cut["tail"]):
            made = run_file(folder / part["file"], held)
            assert list(made) == part["outputs"]
            held.update(made)
        assert cut["finished"] + cut["tail"]["outputs"]
        for tensor in cut["sent"]:
            assert (str(held[tensor["name"]].dtype), held[tensor["name"]].nbytes) == (tensor["dtype"], tensor["bytes"])
        for name in graph.outputs:
            assert deviation(held[name], expected[name]) <= TOLERANCE, (cut["cut"], name)
    whole = run_file(folder / manifest["whole"]["file"], inputs)
    for name in graph.outputs:
        assert deviation(whole[name], expected[name]) <= TOLERANCE
    return manifest


@pytest.mark.parametrize(
    ("model", "cuts", "boundary"),
    [
        ("resnet18", ["layer2.1.conv2", "layer3.0.conv1"], 2),
        ("efficientnet_lite0", ["blocks.5.project"], 1),
        (BRANCHES, ["left.0", "stem.0"], 2),
    ],
)
def test_heads_and_tails_of_pytorch_models(
    model: str, cuts: list[str], boundary: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag for cut in cuts for flag in ("--cut", cut)]
    assert main(["export", model, "--trust-model", *flags, "-o", str(tmp_path / "parts"), "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"run by ONNX Runtime {onnxruntime.__version__} on the traced example: at most" in printed
    manifest = assert_parts_are_the_model(tmp_path / "parts", load_model(model, trust_model=True))
    assert max(len(cut["sent"]) for cut in manifest["cuts"]) == boundary
    assert all(cut["cut"] in printed for cut in manifest["cuts"])


def test_a_real_onnx_file_is_cut_where_several_tensors_cross(tmp_path: Path) -> None:
    graph = load_model(YOLO)
    cut = next(
        layer.name for layer in graph.layers if layer.inputs and len(graph.boundary(graph.edge_layers(layer.name))) >= 3
    )
    assert main(["export", YOLO, "--cut", cut, "-o", str(tmp_path / "parts"), "--threads", "1"]) == 0
    manifest = assert_parts_are_the_model(tmp_path / "parts", graph)
    assert len(manifest["cuts"][0]["sent"]) >= 3
    # Its tensors have slashes in their names; files have not.
    assert "/" in manifest["cuts"][0]["sent"][0]["name"]
    assert len(list((tmp_path / "parts" / "tails").iterdir())) == 1


def test_the_frontier_from_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "here.json"
    model = [BRANCHES, "--trust-model", "--threads", "1"]
    assert main(["profile", *model, "--repeats", "1", "-o", str(profile)]) == 0
    both = ["--edge", str(profile), "--cloud", str(profile), "--edge-slowdown", "4"]
    assert main(["export", *model, "--cut", "frontier", *both, "-o", str(tmp_path / "parts")]) == 0
    manifest = assert_parts_are_the_model(tmp_path / "parts", load_model(BRANCHES, trust_model=True))
    from dnn_surgery.planning import Problem
    from dnn_surgery.planning.frontier_cuts import frontier_cuts
    from dnn_surgery.profiling.profile import Profile

    here = Profile.load(profile)
    expected = {frozenset(cut) for cut in frontier_cuts(Problem.from_profiles(here, here, 4.0))}
    got = {frozenset(cut["edge"]) for cut in manifest["cuts"]}
    assert got <= expected
    inside = [cut for cut in expected if 1 < len(cut) < len(here.layers)]
    assert len(got) == len(inside) == len(manifest["cuts"])
    assert "each of these" in capsys.readouterr().out


def test_without_profiles_the_model_is_measured_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    arguments = [str(tmp_path / "small.onnx"), "--cut", "frontier", "--edge-slowdown", "50", "--threads", "1"]
    assert main(["export", *arguments, "-o", str(tmp_path / "parts")]) == 0
    assert_parts_are_the_model(tmp_path / "parts", load_model(str(tmp_path / "small.onnx")))
    assert "checked" in capsys.readouterr().out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["export", *arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("dnn-surgery: error: ")
    return errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{small}", "--cut", "belo", "-o", "{new}"], "no layer 'belo' in small; did you mean 'below'"),
        (["{small}", "--cut", "below", "-o", "{full}"], "exists and is not empty"),
        (["{small}", "--cut", "below", "-o", "{small}"], "exists and is not empty"),
        (["{small}", "--cut", "below"], "no -o given"),
        (["{small}", "-o", "{new}"], "no --cut given"),
        (["{small}", "--cut", "frontier", "--cut", "below", "-o", "{new}"], "no other goes with it"),
        (["{small}", "--cut", "below", "--edge", "a.json", "-o", "{new}"], "--edge goes with --cut frontier"),
        (["{small}", "--cut", "frontier", "--edge", "absent.json", "-o", "{new}"], "absent.json"),
        (["{small}", "--cut", "scaling", "--format", "triton", "-o", "{new}"], "leaves no layer to the server"),
        (["{small}", "--format", "bundle", "--cut", "below", "-o", "{new}.bundle"], "--cut does not go with it"),
        (["{small}", "--format", "bundle", "-o", "{new}"], "a bundle's name ends with .bundle"),
        (["{small}", "--format", "bundle", "-o", "{old}"], "exists already"),
        (["absent.onnx", "--cut", "below", "-o", "{new}"], "no model file"),
        ([BRANCHES, "--cut", "stem.0", "-o", "{new}"], "not trusted"),
    ],
)
def test_mistakes_are_one_line_each_and_leave_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "old.bundle").write_text("mine")
    places = {
        "small": tmp_path / "small.onnx",
        "new": tmp_path / "new",
        "full": tmp_path / "full",
        "old": tmp_path / "old.bundle",
    }
    before = sorted(tmp_path.rglob("*"))
    if "scaling" in arguments:
        # Everything at the edge: both results are made there.
        arguments = [*arguments[:1], "--cut", "everything", *arguments[3:]]
        arguments[2] = load_model(str(places["small"])).layers[-1].name
    assert message in refused([argument.format(**places) for argument in arguments], capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_profiles_of_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    assert main(["profile", BRANCHES, "--trust-model", "--repeats", "1", "-o", str(tmp_path / "other.json")]) == 0
    capsys.readouterr()
    arguments = [str(tmp_path / "small.onnx"), "--cut", "frontier", "--cloud", str(tmp_path / "other.json")]
    message = refused([*arguments, "-o", str(tmp_path / "new")], capsys)
    assert "--cloud is the profile of another model" in message


@pytest.mark.parametrize(
    ("missing", "model", "message"),
    [
        ("onnx", "small.onnx", "pip install dnn-surgery[onnx-cpu]"),
        ("onnx_ir", BRANCHES, "pip install dnn-surgery[onnx-cpu]"),
        ("onnxscript", BRANCHES, "pip install dnn-surgery[onnx-export]"),
        ("onnxruntime", "small.onnx", "pip install dnn-surgery[onnx-cpu]"),
    ],
)
def test_without_the_extras(missing: str, model: str, message: str, tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from dnn_surgery.cli.main import main; sys.exit(main())"
    onnx.save(small_model(), tmp_path / "small.onnx")
    cut = "stem.0" if model == BRANCHES else "below"
    arguments = ["export", model, "--trust-model", "--cut", cut, "-o", "new"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "new").exists()
