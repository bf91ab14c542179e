"""Open sizes are read where they are used: what crosses a cut holds no sizes, and every cut takes any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.preprocess import Preprocess
from dnn_surgery.model.reference import load_model
from tests.onnx_files import REAL_FILES, numbers


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.MonkeyPatch().setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def vector(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def load(
    folder: Path,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    inputs: dict[str, list[int | str]],
) -> ModelGraph:
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "open.onnx")
    return load_model(str(folder / "open.onnx"))


def sizes_that_travel(graph: ModelGraph) -> list[str]:
    return [name for name, tensor in graph.tensors.items() if tensor.dtype.startswith("int")]


def assert_every_cut_takes_any_batch(graph: ModelGraph, shapes: dict[str, tuple[int, ...]]) -> None:
    engine = make_engine(graph, threads=1)
    draw = np.random.default_rng(0)
    given = {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    expected = engine.part(graph.inputs, graph.outputs)(given)
    for layer in graph.layers:
        edge = graph.edge_layers(layer.name)
        made = Tail(engine, edge)(Head(engine, edge)(given))
        for name in graph.outputs:
            assert deviation(made[name], expected[name]) <= TOLERANCE, layer.name


# Heads of an attention: the batch is read from the input, long before it is needed; -1 hides it from shape inference.
ATTENTION = [
    helper.make_node("Shape", ["x"], ["shape"]),
    helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
    helper.make_node("Unsqueeze", ["batch", "zero"], ["batch1"]),
    helper.make_node("MatMul", ["x", "w1"], ["h1"], name="first"),
    helper.make_node("Reshape", ["h1", "rows"], ["h2"]),
    helper.make_node("MatMul", ["h2", "w1"], ["h3"], name="second"),
    helper.make_node("Concat", ["batch1", "rest"], ["target"], axis=0),
    helper.make_node("Reshape", ["h3", "target"], ["h4"]),
    helper.make_node("MatMul", ["h4", "w2"], ["y"], name="third"),
]
ATTENTION_WEIGHTS = [
    numbers("w1", 8, 8),
    numbers("w2", 4, 3),
    vector("zero", 0),
    vector("rows", -1, 8),
    vector("rest", 5, 2, 4),
]


def test_a_batch_is_read_from_a_multiple_of_it(tmp_path: Path) -> None:
    nodes = [*ATTENTION]
    nodes[1] = helper.make_node("Gather", ["shape", "place"], ["batch"], axis=0)
    weights = [*ATTENTION_WEIGHTS, numpy_helper.from_array(np.array(0), "place")]
    graph = load(tmp_path, nodes, weights, {"x": ["N", 5, 8]})
    assert sizes_that_travel(graph) == []
    assert [layer.name for layer in graph.layers] == ["x", "first", "second", "third"]
    assert graph.boundary(graph.edge_layers("second")) == graph.layer["second"].outputs
    for batch in (1, 3):
        assert_every_cut_takes_any_batch(graph, {"x": (batch, 5, 8)})


def test_what_is_computed_from_sizes_is_computed_on_both_sides(tmp_path: Path) -> None:
    """A token for each of the batch, put before the others late in the network."""
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("Expand", ["token", "target"], ["tokens"]),
        helper.make_node("MatMul", ["x", "w"], ["h1"], name="first"),
        helper.make_node("MatMul", ["h1", "w"], ["h2"], name="second"),
        helper.make_node("Concat", ["tokens", "h2"], ["h3"], axis=1, name="joining"),
        helper.make_node("MatMul", ["h3", "w"], ["y"], name="third"),
    ]
    weights = [numbers("w", 8, 8), numbers("token", 1, 1, 8), vector("rest", 1, 8)]
    graph = load(tmp_path, nodes, weights, {"x": ["N", 5, 8]})
    assert sizes_that_travel(graph) == []
    assert "tokens" not in graph.tensors
    assert all(layer.inputs for layer in graph.layers[1:])
    assert_every_cut_takes_any_batch(graph, {"x": (3, 5, 8)})


@pytest.mark.parametrize("name", ["?", "unk", ""])
def test_a_size_that_no_tensor_tells_travels(name: str, tmp_path: Path) -> None:
    """What a file calls by one placeholder need not be equal; here it is, but nobody says so."""
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("MatMul", ["z", "w"], ["h1"], name="first"),
        helper.make_node("Reshape", ["h1", "target"], ["h2"]),
        helper.make_node("MatMul", ["h2", "v"], ["h3"], name="second"),
        helper.make_node("ReduceSum", ["x", "axes"], ["total"], name="total"),
        helper.make_node("Add", ["h3", "total"], ["y"], name="sum"),
    ]
    weights = [numbers("w", 8, 8), numbers("v", 4, 1), vector("rest", 2, 4), vector("axes", 1, 2)]
    graph = load(tmp_path, nodes, weights, {"x": [name, 5, 8], "z": [name, 8]})
    assert sizes_that_travel(graph)
    assert_every_cut_takes_any_batch(graph, {"x": (3, 5, 8), "z": (3, 8)})


def test_a_real_detector_of_open_batch_sends_no_sizes() -> None:
    path, _ = REAL_FILES["yolov8"]
    graph = load_model(str(path), preprocess=Preprocess("letterbox", (320, 320)))
    assert graph.tensors["picture"].shape == (None, 320, 320, 3)
    assert sizes_that_travel(graph) == []
    engine = make_engine(graph, threads=1)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 320, 320, 3), dtype=np.uint8)
    expected = engine.part(graph.inputs, graph.outputs)({"picture": pictures})
    for layer in graph.layers[-30::10]:
        edge = graph.edge_layers(layer.name)
        made = Tail(engine, edge)(Head(engine, edge)({"picture": pictures}))
        assert deviation(made["output0"], expected["output0"]) <= TOLERANCE, layer.name
