"""A ModelGraph from an ONNX file. Imports no PyTorch.

file --read--> plain model --fold sizes--> nodes --group--> layers --name--> ModelGraph

Tensors have the names of the file's values; a layer has the name of its main node, or of what that node makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from dnn_surgery.errors import ModelError
from dnn_surgery.model import onnx_nodes as nodes
from dnn_surgery.model.graph import Layer, ModelGraph, Picture, Tensor
from dnn_surgery.model.grouping import Operator, group
from dnn_surgery.model.naming import take_name
from dnn_surgery.model.onnx_open_sizes import read_sizes_where_used
from dnn_surgery.model.onnx_program import OnnxProgram, weight_digest
from dnn_surgery.model.onnx_reading import Shapes, infer_shapes, read_model
from dnn_surgery.model.onnx_sizes import example_inputs, open_shape, tensor_sizes
from dnn_surgery.model.onnx_stages import Stages, add_stages, stage_of
from dnn_surgery.model.pictures import detects, example_pixels
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.preprocess import Preprocess


def load_onnx(
    path: str | Path,
    *,
    input_shapes: Shapes | None = None,
    preprocess: Preprocess | None = None,
    postprocess: Postprocess | None = None,
) -> ModelGraph:
    """The graph of an ``.onnx`` file.

    Args:
        path: the file.
        input_shapes: sizes for inputs whose sizes the file leaves open, as far as a user wants to fix them. A fixed
            size makes what is computed from sizes constant, and so cuts cheaper.
        preprocess: makes the network's input from a picture.
        postprocess: its task ``detect`` puts suppression at the end.

    Raises:
        ModelError: the file cannot be read (see :func:`dnn_surgery.model.onnx_reading.read_model`), draws random
            numbers, returns nothing that depends on its inputs, or the stages do not fit it.
    """
    shapes = {name: tuple(int(size) for size in sizes) for name, sizes in (input_shapes or {}).items()}
    path = Path(path).absolute()
    return _Builder(path, shapes, Stages(preprocess, postprocess)).build()


def prepared(path: Path, input_shapes: Shapes, stages: Stages) -> tuple[ir.Model, Picture | None]:
    """The model that graph and parts are made from, and how a frame becomes its input where a stage says so.

    It is as read, between its stages, with the sizes of tensors of known shape as constants, and the others read where
    they are used.
    """
    model = read_model(path, input_shapes=input_shapes)
    picture = add_stages(model, stages, path)
    if picture is not None or detects(stages.postprocess):
        infer_shapes(model)
    _fold_sizes(model)
    if read_sizes_where_used(model):
        infer_shapes(model)
    return model, picture


def _fold_sizes(model: ir.Model) -> None:
    folded = False
    for node in list(model.graph):
        shape = open_shape(node.inputs[0]) if node.op_type == "Shape" and node.inputs[0] is not None else None
        if shape is None or None in shape or node.outputs[0].is_graph_output():
            continue
        start, end = (node.attributes[key].as_int() if key in node.attributes else None for key in ("start", "end"))
        value = node.outputs[0]
        constant = ir.val(str(value.name), const_value=ir.tensor(np.array(shape[start:end], np.int64)))
        ir.convenience.replace_all_uses_with(value, constant)
        model.graph.remove(node, safe=True)
        model.graph.register_initializer(constant)
        folded = True
    if folded:
        infer_shapes(model)


class _Builder:
    """One pass over a prepared model; :meth:`build` is the order in which the pieces depend on each other.

    `makers` are the things that make data: the inputs first, then the nodes in order; `number` is the place of each.
    """

    def __init__(self, path: Path, input_shapes: Mapping[str, tuple[int, ...]], stages: Stages) -> None:
        self.model, self.picture = prepared(path, input_shapes, stages)
        self.path, self.input_shapes, self.stages = path, input_shapes, stages
        model = self.model
        self.name = path.stem
        self.notices: list[str] = []
        self.outputs = self._outputs()
        self.roles = nodes.roles(model.graph, self.outputs)
        read = {value for node in self.roles.data for value in nodes.reads(node)} | set(self.outputs)
        for value in model.graph.inputs:
            if value not in read:
                self.notices.append(f"no result of {self.name} needs its input {value.name!r}; it is left out")
        self.inputs = [value for value in model.graph.inputs if value in read]
        self.example = example_inputs(model.graph)
        if self.picture is not None:
            self.example[self.picture.tensor] = example_pixels(self.picture)
        self.maker: dict[ir.Value, int] = {value: index for index, value in enumerate(self.inputs)}
        for index, node in enumerate(self.roles.data, start=len(self.inputs)):
            self.maker.update((value, index) for value in node.outputs)
        self.sizes = tensor_sizes(model, [value for value in self.maker if value.name], self.example)
        self.digests: dict[str, bytes] = {}
        self.readers: dict[ir.Value, set[int]] = {value: set() for value in self.maker}
        for index, node in enumerate(self.roles.data, start=len(self.inputs)):
            for value in nodes.reads(node):
                if value in self.maker:
                    self.readers[value].add(index)

    def build(self) -> ModelGraph:
        groups = group(self._operators())
        members: dict[int, list[int]] = {}
        for index, label in enumerate(groups):
            members.setdefault(label, []).append(index)
        names = self._names([members[label] for label in range(len(members))])
        leaving = self._leaving(groups)
        layers = tuple(self._layer(names[label], members[label], leaving[label]) for label in range(len(members)))
        tensors = {str(value.name): self._tensor(value) for label in range(len(members)) for value in leaving[label]}
        for name in tensors:
            if name not in self.sizes:
                raise ModelError(f"{self.path}: output {name!r} is no tensor of numbers, so it cannot be returned")
        program = OnnxProgram(
            path=self.path,
            operators=hashlib.sha256(repr([layer.operators for layer in layers]).encode()).digest(),
            digests=self.digests,
            input_shapes=self.input_shapes,
            example={str(value.name): self.example[str(value.name)] for value in self.inputs},
            stages=self.stages,
        )
        return ModelGraph(
            name=self.name,
            layers=layers,
            tensors=tensors,
            inputs=tuple(str(value.name) for value in self.inputs),
            outputs=tuple(str(value.name) for value in self.outputs),
            program=program,
            picture=self.picture,
            notices=tuple(self.notices),
        )

    def _outputs(self) -> list[ir.Value]:
        """The results that depend on the inputs, each once."""
        wanted = list(dict.fromkeys(self.model.graph.outputs))
        constant = nodes.roles(self.model.graph, wanted).constant
        results = [value for value in wanted if not nodes.is_constant(value, constant)]
        if len(results) < len(wanted):
            self.notices.append(
                f"{len(wanted) - len(results)} results of {self.name} do not depend on its inputs; left out"
            )
        if not results:
            raise ModelError(f"{self.path} returns no tensor that depends on its inputs")
        return results

    def _operators(self) -> list[Operator]:
        results = set(self.outputs)
        operators = [
            Operator(reads=(), size_bytes=self._bytes([value]), is_input=True, is_output=value in results)
            for value in self.inputs
        ]
        first: dict[str, int] = {}
        for index, node in enumerate(self.roles.data, start=len(self.inputs)):
            read = [value for value in nodes.reads(node) if value in self.maker]
            stage = stage_of(node)
            # A sequence, say, cannot travel, so who reads it stays with who made it.
            joined = {self.maker[value] for value in read if str(value.name) not in self.sizes}
            if stage is not None:
                joined.add(first.setdefault(stage, index))
            operators.append(
                Operator(
                    reads=tuple(dict.fromkeys(self.maker[value] for value in read)),
                    size_bytes=self._bytes(node.outputs),
                    follows=nodes.is_follower(node),
                    fixed=stage is not None,
                    is_output=any(value in results for value in node.outputs),
                    joined=tuple(sorted(joined)),
                )
            )
        return operators

    def _bytes(self, values: Sequence[ir.Value]) -> int:
        return sum(self.sizes[str(value.name)].size_bytes for value in values if str(value.name) in self.sizes)

    def _node(self, index: int) -> ir.Node | None:
        """The node with this number; None for an input."""
        return None if index < len(self.inputs) else self.roles.data[index - len(self.inputs)]

    def _names(self, members: Sequence[Sequence[int]]) -> list[str]:
        taken = {str(value.name) for value in self.inputs}
        names = []
        for inside in members:
            if inside[0] < len(self.inputs):
                names.append(str(self.inputs[inside[0]].name))
                continue
            found = [self.roles.data[index - len(self.inputs)] for index in inside]
            stage = next(filter(None, map(stage_of, found)), None)
            main = next((node for node in found if not nodes.is_follower(node)), found[0])
            names.append(take_name(stage or main.name or str(main.outputs[0].name), taken))
        return names

    def _leaving(self, groups: Sequence[int]) -> dict[int, list[ir.Value]]:
        """The tensors that leave each group: the model's results, and what another group reads."""
        results, leaving = set(self.outputs), dict[int, list[ir.Value]]()
        for value, index in self.maker.items():
            if value in results or any(groups[reader] != groups[index] for reader in self.readers[value]):
                leaving.setdefault(groups[index], []).append(value)
        return leaving

    def _layer(self, name: str, inside: Sequence[int], made: Sequence[ir.Value]) -> Layer:
        own = [node for index in inside if (node := self._node(index)) is not None]
        own_numbers = set(inside)
        read = dict.fromkeys(
            str(value.name)
            for node in own
            for value in nodes.reads(node)
            if value in self.maker and self.maker[value] not in own_numbers
        )
        constants, weights = self._constants(own)
        for value in weights:
            self.digests.setdefault(str(value.name), weight_digest(value))
        version = self.model.opset_imports
        return Layer(
            name=name,
            inputs=tuple(read),
            outputs=tuple(str(value.name) for value in made),
            operators=tuple(nodes.operator_text(node, version.get(node.domain, 1)) for node in (*constants, *own)),
            parameters=tuple(sorted(str(value.name) for value in weights)),
            param_bytes=sum(value.const_value.nbytes for value in weights if value.const_value is not None),
        )

    def _constants(self, own: Sequence[ir.Node]) -> tuple[list[ir.Node], list[ir.Value]]:
        """The nodes that every part has (in order) and the initialisers that these nodes need."""
        everywhere = self.roles.constant | self.roles.size
        found, weights = set[ir.Node](), dict[ir.Value, None]()
        queue = list(own)
        while queue:
            for value in nodes.reads(queue.pop()):
                producer = value.producer()
                if value.is_initializer():
                    weights[value] = None
                elif producer in everywhere and producer not in found:
                    found.add(producer)
                    queue.append(producer)
        return [node for node in self.model.graph if node in found], list(weights)

    def _tensor(self, value: ir.Value) -> Tensor:
        name = str(value.name)
        size = self.sizes.get(name)
        return Tensor(name, size.dtype, size.shape, size.size_bytes) if size else Tensor(name, "", (), 0)
