"""Real ONNX files that packages ship, and small ones made here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _package(name: str) -> Path:
    # Found without importing them: they import OpenCV, which is not installed.
    found = find_spec(name)
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


# Each with sizes for the inputs that the file leaves open.
REAL_FILES: dict[str, tuple[Path, dict[str, tuple[int, ...]]]] = {
    "yolov8": (_package("nudenet") / "320n.onnx", {"images": (1, 3, 320, 320)}),
    "yolov8_open": (_package("nudenet") / "320n.onnx", {}),
    "detector": (
        _package("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_det_infer.onnx",
        {"x": (1, 3, 160, 160)},
    ),
    "classifier": (
        _package("rapidocr_onnxruntime") / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        {"x": (1, 3, 48, 192)},
    ),
    "recogniser": (
        _package("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_rec_infer.onnx",
        {"x": (1, 3, 48, 160)},
    ),
}


def numbers(name: str, *shape: int) -> onnx.TensorProto:
    """A weight."""
    return numpy_helper.from_array(np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32), name)


def small_model(*, batch: int | str = 1, opset: int = 17) -> onnx.ModelProto:
    """Two matrix products, a split in two results, and a constant subgraph that scales one of them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["first"], name="below"),
        helper.make_node("Relu", ["first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["both"], name="above"),
        helper.make_node("Split", ["both", "sizes"], ["left", "right"], axis=1),
        helper.make_node("Exp", ["log_scale"], ["scale"]),
        helper.make_node("Mul", ["right", "scale"], ["scaled"], name="scaling"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8])],
        [
            helper.make_tensor_value_info("left", TensorProto.FLOAT, [batch, 2]),
            helper.make_tensor_value_info("scaled", TensorProto.FLOAT, [batch, 4]),
        ],
        [
            numbers("w1", 8, 16),
            numbers("w2", 16, 6),
            numbers("log_scale", 4),
            numpy_helper.from_array(np.array([2, 4]), "sizes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def residual_model() -> onnx.ModelProto:
    """Three matrix products, the last one of what the second made and the first one too: no cut after the second is
    of one tensor."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["one"], name="first"),
        helper.make_node("MatMul", ["one", "w2"], ["two"], name="second"),
        helper.make_node("MatMul", ["two", "w3"], ["three"], name="third"),
        helper.make_node("Add", ["three", "one"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w1"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numbers("w1", 8, 8), numbers("w2", 8, 8), numbers("w3", 8, 8)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def branching_model() -> onnx.ModelProto:
    """An If whose branches capture a tensor from outside, and a Loop that adds it up."""

    def branch(operator: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(f"from_{operator}", TensorProto.FLOAT, [1, 8])
        return helper.make_graph(
            [helper.make_node(operator, ["hidden"], [f"from_{operator}"])], f"branch_{operator}", [], [value]
        )

    body = helper.make_graph(
        [
            helper.make_node("Add", ["sum_in", "chosen"], ["sum_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_in", TensorProto.FLOAT, [1, 8]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, [1, 8]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"], name="below"),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0, name="total"),
        helper.make_node("Greater", ["total", "limit"], ["large"], name="compare"),
        helper.make_node(
            "If", ["large"], ["chosen"], name="choice", then_branch=branch("Neg"), else_branch=branch("Abs")
        ),
        helper.make_node("Loop", ["times", "yes", "hidden"], ["summed"], name="loop", body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("summed", TensorProto.FLOAT, [1, 8])],
        [
            numbers("w", 8, 8),
            numpy_helper.from_array(np.array(4.0, np.float32), "limit"),
            numpy_helper.from_array(np.array(3), "times"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
