"""What a user puts before and after an ONNX network, as operators of its graph. Imports no PyTorch.

picture --"input": Preprocess--> network --"detections": suppression--> [N, detections, 6]

The operators compute what :mod:`dnn_surgery.model.stages` puts around PyTorch networks, in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.onnx_sizes import dtype_name, open_shape
from dnn_surgery.model.onnx_suppression import suppression
from dnn_surgery.model.pictures import detects
from dnn_surgery.model.postprocess import Postprocess, detection_format, show_formats
from dnn_surgery.model.preprocess import Preprocess

# The first opset with all operators that the stages are made of.
OLDEST_OPSET = 11

_STAGE = "dnn-surgery.stage"


@dataclass(frozen=True, slots=True)
class Stages:
    """What stands before and after a file's network; see `Preprocess` and `Postprocess`."""

    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None


NO_STAGES = Stages()


def add_stages(model: ir.Model, stages: Stages, path: Path) -> Picture | None:
    """Puts the stages around the model in `path`; how a frame becomes its input, where a stage reads one.

    The network's own input keeps its name, as the tensor that the stage makes. A side that the file leaves open becomes
    the picture's.

    Raises:
        ModelError: the model has several inputs, reads no floating-point picture, or makes no boxes.
    """
    if stages.preprocess is None and not detects(stages.postprocess):
        return None
    if len(model.graph.inputs) != 1:
        raise ModelError(
            f"{path} has {len(model.graph.inputs)} inputs; preprocess and postprocess need a model with one"
        )
    if model.opset_imports.get("", 1) < OLDEST_OPSET:
        raise ModelError(
            f"{path} is of opset {model.opset_imports.get('', 1)}; preprocess and detect need {OLDEST_OPSET} or newer: "
            "convert it with onnx.version_converter"
        )
    picture = _read_pictures(model, stages.preprocess, path) if stages.preprocess is not None else None
    if stages.postprocess is not None and detects(stages.postprocess):
        _detect(model, stages.postprocess, path)
    return picture


def stage_of(node: ir.Node) -> str | None:
    """The name of the stage that a node belongs to; its nodes are one layer of that name."""
    return node.metadata_props.get(_STAGE)


class Stage:
    """Makes the nodes of a stage; the names of their values are free ones."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self.graph = graph
        self._taken = _names(graph)
        self.name = free_name(name, self._taken)
        self.nodes: list[ir.Node] = []

    def __call__(self, operator: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """The first result of an operator."""
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, count: int, *inputs: ir.Value, **attributes: Any) -> Sequence[ir.Value]:
        """All results of an operator."""
        node = ir.node(operator, list(inputs), attributes=attributes or None, num_outputs=count)
        node.name = self._free(operator)
        for place, value in enumerate(node.outputs):
            value.name = f"{node.name}.{place}" if count > 1 else node.name
        node.metadata_props[_STAGE] = self.name
        self.nodes.append(node)
        return node.outputs

    def constant(self, values: Any, dtype: Any = np.int64) -> ir.Value:
        """A constant."""
        array: NDArray[Any] = np.asarray(values, dtype)
        value = ir.val(self._free("constant"), const_value=ir.tensor(array))
        self.graph.register_initializer(value)
        return value

    def _free(self, name: str) -> str:
        found, number = f"{self.name}.{name}", 0
        while found in self._taken:
            number += 1
            found = f"{self.name}.{name}_{number}"
        self._taken.add(found)
        return found


def _read_pictures(model: ir.Model, preprocess: Preprocess, path: Path) -> Picture:
    graph = model.graph
    read = graph.inputs[0]
    dtype, shape = dtype_name(read), open_shape(read)
    if dtype == "uint8":
        raise ModelError(f"{path} reads pictures already; preprocess is for models that do not")
    if dtype not in ("float16", "float32", "float64") or shape is None:
        raise ModelError(f"{path} reads {dtype} {read.shape}; preprocess makes floating-point pictures")
    preprocess = preprocess.sized_for(shape)
    stage = Stage(graph, "input")
    said = preprocess.picture
    picture = ir.val(free_name(said.tensor, _names(graph)), dtype=ir.DataType.UINT8)
    picture.shape = ir.Shape([read.shape[0] if read.shape is not None else None, said.height, said.width, 3])
    made = _normalised(stage, picture, preprocess, dtype)
    ir.convenience.replace_all_uses_with(read, made, replace_graph_outputs=True)
    graph.inputs.clear()
    graph.inputs.append(picture)
    name, read.name = read.name, None
    made.name = name
    first = next(iter(graph), None)
    if first is None:
        raise ModelError(f"{path} has no operators")
    graph.insert_before(first, stage.nodes)
    return Picture(str(picture.name), said.height, said.width, said.fit, said.crop_fraction)


def _normalised(stage: Stage, picture: ir.Value, does: Preprocess, dtype: str) -> ir.Value:
    """In the order of :mod:`dnn_surgery.model.preprocess`, so that every value is the one that PyTorch computes."""
    planes = does.layout == "nchw"
    shape = (1, 3, 1, 1) if planes else (1, 1, 1, 3)
    value = picture
    if does.color == "bgr":
        value = stage("Gather", value, stage.constant([2, 1, 0]), axis=3)
    if planes:
        value = stage("Transpose", value, perm=[0, 3, 1, 2])
    value = stage("Cast", value, to=ir.DataType.FLOAT)
    if does.scale != 1:
        value = stage("Mul", value, stage.constant(does.scale, np.float32))
    if any(does.mean):
        value = stage("Sub", value, stage.constant(np.reshape(does.mean, shape), np.float32))
    if set(does.std) != {1.0}:
        value = stage("Div", value, stage.constant(np.reshape(does.std, shape), np.float32))
    if dtype != "float32":
        value = stage("Cast", value, to=ir.DataType[{"float16": "FLOAT16", "float64": "DOUBLE"}[dtype]])
    return value


def _detect(model: ir.Model, postprocess: Postprocess, path: Path) -> None:
    graph = model.graph
    shapes = [(value, open_shape(value)) for value in graph.outputs]
    found = [(value, shape) for value, shape in shapes if shape is not None and detection_format(shape) is not None]
    if not found:
        made = ", ".join("?" if shape is None else str(list(shape)) for _, shape in shapes)
        raise ModelError(f"postprocess: task detect needs an output {show_formats()}, {path} makes {made or 'none'}")
    raw, shape = found[0]
    stage = Stage(graph, "detections")
    rows = suppression(stage, raw, shape, postprocess)
    rows.name = stage.name
    rows.dtype = ir.DataType.FLOAT
    graph.extend(stage.nodes)
    graph.outputs.clear()
    graph.outputs.append(rows)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with underscores behind it where it is taken."""
    while name in taken:
        name += "_"
    return name


def _names(graph: ir.Graph) -> set[str]:
    """The names of values and nodes."""
    values = [*graph.inputs, *graph.initializers.values()]
    names = {str(value.name) for value in values}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        names.add(str(node.name))
        names.update(str(value.name) for value in node.outputs)
    return names
