"""The edge with servers that speak only the standard protocol: a process of its own, on a real socket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dnn_surgery
from dnn_surgery.cli.main import main
from dnn_surgery.edge.standard import connect_standard
from dnn_surgery.errors import FingerprintError, InputError, UnknownModelError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import Link
from tests.onnx_files import REAL_FILES, numbers, small_model
from tests.profiling.even import even_profile
from tests.standard_server import standard_server

YOLO = str(REAL_FILES["yolov8_open"][0])
BRANCHES = "tests.cloud.network:build"
CUTS = ("stem.0", "left.0")


def export(model: str, cuts: list[str], folder: Path) -> Path:
    flags = [flag for cut in cuts for flag in ("--cut", cut)]
    arguments = ["export", model, "--trust-model", *flags, "--format", "triton", "--threads", "1"]
    assert main([*arguments, "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(load_model(BRANCHES, trust_model=True), device="cpu", threads=1)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(BRANCHES, list(CUTS), tmp_path_factory.mktemp("triton") / "models")


@pytest.fixture(scope="module")
def address(repository: Path) -> Iterator[str]:
    with standard_server(repository) as where:
        yield where


def random_frames(engine: Engine, count: int) -> list[dict[str, Array]]:
    source = np.random.default_rng(1)
    shapes = {name: engine.to_array(value) for name, value in engine.example().items()}
    return [
        {name: source.random(array.shape).astype(array.dtype) for name, array in shapes.items()} for _ in range(count)
    ]


def assert_the_cloud_answers(engine: Engine, address: str, cut: str) -> None:
    whole = engine.part(engine.graph.inputs, engine.graph.outputs)
    with connect_standard(engine, address, cut=cut) as edge:
        for frame in random_frames(engine, 3):
            result, expected = edge(frame), whole(frame)
            assert (result.finished_by, result.failure) == ("cloud", None)
            assert result.outputs.keys() == expected.keys()
            for name, array in expected.items():
                assert deviation(result.outputs[name], array) <= TOLERANCE


@pytest.mark.parametrize("cut", [*CUTS, "x"])
def test_every_exported_tail_and_the_whole_model(cut: str, engine: Engine, address: str) -> None:
    assert_the_cloud_answers(engine, address, cut)


def test_a_real_onnx_file_with_open_sizes(tmp_path: Path) -> None:
    """Its batch and sides vary, so sizes are among the tensors that cross."""
    engine = make_engine(load_model(YOLO), threads=1)
    graph = engine.graph
    boundaries = {
        layer.name: cut_tensors(graph, graph.edge_layers(layer.name)) for layer in graph.layers if layer.inputs
    }
    cut = max(
        (name for name, tensors in boundaries.items() if tensors.remaining),
        key=lambda name: len(boundaries[name].sent),
    )
    assert len(boundaries[cut].sent) >= 3
    with standard_server(export(YOLO, [cut], tmp_path / "models")) as address:
        assert_the_cloud_answers(engine, address, cut)


def test_a_batch_that_varies_and_a_scalar_that_crosses(tmp_path: Path) -> None:
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["hidden"], name="below"),
                helper.make_node("ReduceMax", ["hidden"], ["highest"], keepdims=0, name="highest"),
                helper.make_node("MatMul", ["hidden", "v"], ["above"], name="above"),
                helper.make_node("Div", ["above", "highest"], ["y"], name="scaled"),
            ],
            "scalar",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
            [numbers("w", 8, 8), numpy_helper.from_array(numpy_helper.to_array(numbers("vv", 8, 4)), "v")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "scalar.onnx")
    engine = make_engine(load_model(str(tmp_path / "scalar.onnx")), threads=1)
    graph = engine.graph
    assert graph.tensors["highest"].shape == ()
    config = export(str(tmp_path / "scalar.onnx"), ["highest"], tmp_path / "models")
    (tail,) = [path for path in config.iterdir() if "__" in path.name]
    text = (tail / "config.pbtxt").read_text()
    assert "dims: [ -1, 8 ]" in text
    assert "reshape: { shape: [ ] }" in text
    frame = {"x": np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)}
    expected = engine.part(graph.inputs, graph.outputs)(frame)
    with standard_server(config) as address, connect_standard(engine, address, cut="highest") as edge:
        result = edge(frame)
    assert result.finished_by == "cloud", result.failure
    assert result.outputs["y"].shape == (3, 4)
    np.testing.assert_allclose(result.outputs["y"], expected["y"], rtol=1e-5)


def test_the_best_served_cut_is_planned(engine: Engine, address: str) -> None:
    here = even_profile(engine)
    fast, slow = Link(bandwidth_bps=1e12), Link(bandwidth_bps=1e3)
    with connect_standard(
        engine, address, cloud_profile=here, edge_profile=here, link=fast, slowdown=1e5, deadline_s=60
    ) as edge:
        # Nothing is worth computing here: of what is served, the whole model.
        assert edge.plan is not None
        assert edge.partition == edge.plan.edge == ("x",)
    with connect_standard(engine, address, cloud_profile=here, edge_profile=here, link=slow) as edge:
        assert edge.partition == tuple(layer.name for layer in engine.graph.layers)
        assert edge(random_frames(engine, 1)[0]).sent_bytes == 0


def test_a_cut_that_is_not_served_is_not_planned(engine: Engine, repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "build")
    here = even_profile(engine)
    with (
        standard_server(tmp_path / "models") as address,
        connect_standard(
            engine, address, cloud_profile=here, edge_profile=here, link=Link(1e12), slowdown=1e5, deadline_s=60
        ) as edge,
    ):
        assert edge.partition in [engine.graph.edge_layers(cut) for cut in CUTS]


def test_the_link_is_estimated_with_calls_of_the_standard(engine: Engine, address: str) -> None:
    here = dnn_surgery.profile(engine.graph, engine=engine, repeats=1, warmup=0)
    steps: list[str] = []
    with connect_standard(engine, address, cloud_profile=here, report=steps.append) as edge:
        assert edge.link is not None
        assert edge.link.bandwidth_bps > 1e7
    assert steps == ["profiling this device", "estimating the link"]


def test_a_cut_that_nobody_exported(engine: Engine, address: str) -> None:
    with pytest.raises(UnknownModelError, match=r"serves no model 'build__right\.0"):
        connect_standard(engine, address, cut="right.0")


def test_a_tail_of_another_model_under_that_name(engine: Engine, repository: Path, tmp_path: Path) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    small = make_engine(load_model(str(tmp_path / "small.onnx")), threads=1)
    other = export(str(tmp_path / "small.onnx"), ["below"], tmp_path / "models")
    (tail,) = [path for path in other.iterdir() if "__" in path.name]
    shutil.rmtree(tail)
    (strange,) = [path for path in repository.iterdir() if path.name == "build__stem.0"]
    shutil.copytree(strange, tail)
    text = (tail / "config.pbtxt").read_text().replace('"build__stem.0"', f'"{tail.name}"')
    (tail / "config.pbtxt").write_text(text)
    with standard_server(other) as address, pytest.raises(FingerprintError, match="is the tail of another model"):
        connect_standard(small, address, cut="below")


def test_a_tail_with_other_weights(engine: Engine, address: str) -> None:
    from dnn_surgery.model.tracing import trace
    from tests.cloud.network import Branches, seeded

    other = trace(seeded(1), (Branches.example_inputs,), name="build")
    with pytest.raises(FingerprintError, match="so its tail has other weights"):
        connect_standard(make_engine(other, device="cpu", threads=1), address, cut="stem.0")


def test_mistakes(engine: Engine, address: str) -> None:
    here = dnn_surgery.profile(engine.graph, engine=engine, repeats=1, warmup=0)
    for arguments in ({}, {"cut": "stem.0", "cloud_profile": here}):
        with pytest.raises(InputError, match="--cloud-profile"):
            connect_standard(engine, address, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be positive"):
        connect_standard(engine, address, cut="stem.0", deadline_s=0)
    with pytest.raises(UnreachableError, match="no server answers"):
        connect_standard(engine, "127.0.0.1:1", cut="stem.0")


def test_everything_here_needs_no_tail(engine: Engine, address: str) -> None:
    with connect_standard(engine, address, cut=[layer.name for layer in engine.graph.layers]) as edge:
        assert edge(random_frames(engine, 1)[0]).finished_by == "edge"
