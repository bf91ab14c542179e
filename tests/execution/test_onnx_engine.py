"""Cuts with ONNX Runtime agree with the reference; segments, background compilation and their limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from dnn_surgery.errors import InputError, ModelError
from dnn_surgery.execution.compiled import CompiledParts
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.onnx_engine import HOT_RUNS, OnnxEngine
from dnn_surgery.execution.onnx_packing import is_worth_packing
from dnn_surgery.execution.onnx_session import make_session
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.reference import load_model
from tests.execution.cuts import some_cuts, through_bytes
from tests.onnx_files import REAL_FILES, branching_model, small_model


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def assert_cuts_agree(engine: OnnxEngine, cuts: list[tuple[str, ...]]) -> None:
    graph, inputs = engine.graph, engine.example()
    expected = engine.reference(graph.outputs)
    for edge in cuts:
        results = Tail(engine, edge)(through_bytes(Head(engine, edge)(through_bytes(inputs))))
        for name in graph.outputs:
            assert deviation(results[name], expected[name]) <= TOLERANCE, f"{name} at the cut {edge[-1]}"
            assert results[name].argmax() == expected[name].argmax()


@pytest.mark.parametrize("name", ["alexnet", "nin", "tiny_yolov2", "vgg16", "resnet18"])
def test_every_bottleneck_cut_and_others_of_the_papers_networks(name: str) -> None:
    graph = load_model(name)
    with OnnxEngine(graph, threads=1) as engine:
        engine.prepare()
        cuts = {tuple(graph.edge_layers(layer.name)) for layer in graph.layers}
        assert_cuts_agree(engine, sorted(cuts))
        assert 0 < engine.largest_deviation < TOLERANCE


@pytest.mark.parametrize("name", REAL_FILES)
def test_cuts_of_real_files(name: str) -> None:
    path, shapes = REAL_FILES[name]
    graph = load_model(str(path), input_shapes=shapes)
    with OnnxEngine(graph, threads=1) as engine:
        assert_cuts_agree(engine, some_cuts(graph, 6))


def test_every_cut_of_control_flow(tmp_path: Path) -> None:
    onnx.save(branching_model(), tmp_path / "branching.onnx")
    graph = load_model(str(tmp_path / "branching.onnx"))
    engine = OnnxEngine(graph, threads=1)
    assert_cuts_agree(engine, [graph.edge_layers(layer.name) for layer in graph.layers])
    whole = engine.part(graph.inputs, graph.outputs)
    x = np.ones((1, 8), np.float32)
    assert not np.array_equal(whole({"x": x})["summed"], -whole({"x": -x})["summed"])


@pytest.fixture(scope="module")
def resnet18() -> OnnxEngine:
    engine = OnnxEngine(load_model("resnet18"), threads=1)
    engine.prepare()
    return engine


def test_cuts_at_bottlenecks_are_ready_and_others_once_compiled(resnet18: OnnxEngine) -> None:
    graph = resnet18.graph
    at_border = resnet18.part(["layer2.0.conv2"], graph.outputs)
    inside = resnet18.part(graph.boundary(graph.edge_layers("layer2.0.conv1")), graph.outputs)
    assert at_border.is_ready
    assert not inside.is_ready
    resnet18.request(inside)
    resnet18.compiled.wait()
    assert inside.is_ready


def test_a_part_that_runs_often_is_compiled_beside(resnet18: OnnxEngine) -> None:
    graph = resnet18.graph
    part = resnet18.part(graph.inputs, ["layer1.1.conv2"])
    example = resnet18.example()
    before = [part(example) for _ in range(HOT_RUNS)][-1]
    assert part.deviation is None
    part(example)
    resnet18.compiled.wait()
    assert part.deviation is not None
    assert part.deviation <= TOLERANCE
    assert deviation(part(example)["layer1.1.conv2"], before["layer1.1.conv2"]) <= TOLERANCE


def test_the_least_recently_used_goes_and_the_budget_holds() -> None:
    compiled = CompiledParts(budget_bytes=100)
    keys = [((str(index),), ()) for index in range(3)]
    for key in keys[:2]:
        assert compiled.request(key, 50, lambda key=key: f"session {key[0][0]}")  # type: ignore[misc]
    compiled.wait()
    assert compiled.get(keys[0]) == "session 0"
    assert compiled.request(keys[2], 50, lambda: "session 2")
    compiled.wait()
    assert [compiled.get(key) for key in keys] == ["session 0", None, "session 2"]
    assert compiled.size_bytes == 100
    assert not compiled.request((("large",), ()), 101, lambda: "never")
    compiled.close()
    assert not compiled.request((("late",), ()), 1, lambda: "never")


def test_what_is_beyond_the_tolerance_is_an_error(resnet18: OnnxEngine) -> None:
    strict = OnnxEngine(resnet18.graph, threads=1, tolerance=0.0)
    with pytest.raises(ModelError, match="of its range from the reference, more than the tolerance"):
        strict.part(resnet18.graph.inputs, resnet18.graph.outputs).prepare()


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [
        ([1.0, 2.0], [1.0, 3.0], 0.5),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, 2.0], [1.0, np.inf], np.inf),
        ([2.0, 2.0], [4.0, 4.0], 0.5),
        ([[1.0, 2.0]], [1.0, 2.0], np.inf),
        ([1e-7, 0.0], [0.0, 0.0], 1e-4),
    ],
)
def test_deviation(value: list[float], reference: list[float], expected: float) -> None:
    assert deviation(np.array(value), np.array(reference)) == pytest.approx(expected)
    assert deviation(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25


def test_engine_and_device_are_checked(tmp_path: Path) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    graph = load_model(str(tmp_path / "small.onnx"))
    engine = make_engine(graph, threads=1)
    assert (engine.info.name, engine.info.device, engine.info.threads) == ("onnxruntime", "cpu", 1)
    assert make_engine(graph, providers=["CPUExecutionProvider"]).info.device == "cpu"
    with pytest.raises(InputError, match=r"no device 'TensorrtExecutionProvider' here: this ONNX Runtime has .*CPU"):
        make_engine(graph, providers=["TensorrtExecutionProvider"])
    with pytest.raises(InputError, match="the torch engine runs graphs traced from PyTorch, not from onnx"):
        make_engine(graph, name="torch")


def test_the_least_range_is_what_a_real_detector_needs() -> None:
    """Where it sees nothing, its map is small beside one rounding at 1; where it sees text, it is not."""
    path, shapes = REAL_FILES["detector"]
    graph = load_model(str(path), input_shapes=shapes)
    engine = OnnxEngine(graph, threads=1)
    page = np.ones((1, 3, 160, 160), np.float32)
    for line in range(20, 140, 30):
        page[:, :, line : line + 12 : 2, 10:150:7] = -1
    plain = make_session(
        engine.source.extract(graph.inputs, graph.outputs),
        engine.source.folder,
        threads=1,
        providers=["CPUExecutionProvider"],
        optimised=False,
    )
    ranges, differences = [], []
    for given in (engine.example(), {"x": page}):
        (expected,) = plain.run(None, given)
        (found,) = engine.part(graph.inputs, graph.outputs)(given).values()
        ranges.append(float(np.ptp(expected)))
        differences.append(float(np.abs(found - expected).max()))
    assert ranges[0] < 1e-5
    assert differences[0] <= 8 * 2**-23
    assert ranges[1] > 0.5
    assert differences[1] <= TOLERANCE * ranges[1]


def test_one_row_products_are_read_from_the_file_and_shared() -> None:
    graph = load_model("alexnet")
    with OnnxEngine(graph, threads=1) as engine:
        engine.prepare()
        whole = engine.source.model(graph.inputs, graph.outputs)
        assert not is_worth_packing(whole.graph)
        shared = engine.source.mapped(whole, more=False)
        assert sum(value.numpy().nbytes for value in shared.values()) > 0.75 * sum(
            layer.param_bytes for layer in graph.layers
        )
    resnet = OnnxEngine(load_model("resnet18"), threads=1)
    assert is_worth_packing(resnet.source.model(resnet.graph.inputs, resnet.graph.outputs).graph)


def test_the_reference_holds_one_segment_at_a_time(resnet18: OnnxEngine) -> None:
    graph = resnet18.graph
    inside = "layer2.0.conv1"
    walked = [segment for segment, _ in resnet18.reference.walk()]
    assert walked == list(resnet18.chain.segments)
    found = resnet18.reference((*graph.inputs, inside, *graph.outputs))
    assert list(found) == [*graph.inputs, inside, *graph.outputs]
    whole = resnet18.part(graph.inputs, graph.outputs)(resnet18.example())
    assert deviation(whole[graph.outputs[0]], found[graph.outputs[0]]) <= TOLERANCE
