"""The role of each node of an ONNX graph: constant, size or data. Only data is placed and sent.

constant: depends on initialisers alone; every part that reads it holds it, and the engine folds it.
size: depends on the sizes alone of tensors that whoever reads it reads anyway; so every part computes it.
data: everything else that an output needs. Control flow (If, Loop, Scan) is one node, and what its bodies capture from
outside counts as its inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from dnn_surgery.errors import ModelError
from dnn_surgery.model.onnx_size_nodes import SizeNodes

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}

# Cheap beside what they follow, whatever the engine: pointwise operators, and those that only move or rename numbers.
_FOLLOWERS = frozenset(
    {
        *("Abs", "Acos", "Acosh", "Add", "And", "Asin"),
        *("Asinh", "Atan", "Atanh", "BatchNormalization", "BitShift", "Cast"),
        *("CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh"),
        *("DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Elu", "Equal"),
        *("Erf", "Exp", "Expand", "Flatten", "Floor", "Gelu"),
        *("Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf"),
        *("IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax"),
        *("Max", "Mean", "Min", "Mish", "Mod", "Mul"),
        *("Neg", "Not", "Or", "Pow", "PRelu", "QuantizeLinear"),
        *("Reciprocal", "Relu", "Reshape", "Round", "Selu", "Shape"),
        *("Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice"),
        *("Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt"),
        *("Squeeze", "Sub", "Sum", "Swish", "Tan", "Tanh"),
        *("ThresholdedRelu", "Transpose", "Unsqueeze", "Where", "Xor", "QuickGelu"),
        *("FastGelu", "BiasGelu"),
    }
)


@dataclass(frozen=True)
class Roles:
    """`data` nodes in topological order; `constant` and `size` nodes, which no part is without, are sets."""

    data: tuple[ir.Node, ...]
    constant: frozenset[ir.Node]
    size: frozenset[ir.Node]


def roles(graph: ir.Graph, outputs: list[ir.Value]) -> Roles:
    """Sorts the nodes that compute the outputs; all others are left out.

    Raises:
        ModelError: a node draws random numbers.
    """
    needed = _needed(outputs)
    constant: set[ir.Node] = set()
    data = list[ir.Node]()
    for node in graph:
        if node not in needed:
            continue
        _refuse_random(node)
        if all(is_constant(value, constant) for value in reads(node)):
            constant.add(node)
        else:
            data.append(node)
    size = _local_sizes(graph, data, outputs)
    return Roles(tuple(node for node in data if node not in size), frozenset(constant), size)


def _local_sizes(graph: ir.Graph, data: list[ir.Node], outputs: list[ir.Value]) -> frozenset[ir.Node]:
    found = SizeNodes(graph)
    others = {node: reads(node) for node in data if node not in found.nodes}
    return frozenset(found.nodes.intersection(data) - found.travelling(outputs, others))


def is_constant(value: ir.Value, constant: frozenset[ir.Node] | set[ir.Node]) -> bool:
    """Whether a value is an initialiser, or made by a constant node."""
    producer = value.producer()
    return value.is_initializer() if producer is None else producer in constant


def reads(node: ir.Node) -> tuple[ir.Value, ...]:
    """The values of the surrounding graph that a node reads, each once, those that its bodies capture included."""
    found = {value: None for value in node.inputs if value is not None}
    for body in bodies(node):
        for inner in ir.traversal.RecursiveGraphIterator(body):
            found.update((value, None) for value in inner.inputs if value is not None and value.graph is node.graph)
        found.update((value, None) for value in body.outputs if value.graph is node.graph)
    return tuple(found)


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs inside a control-flow node."""
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def is_follower(node: ir.Node) -> bool:
    """Whether an operator is cheap enough to join the layer that it follows."""
    return node.op_type in _FOLLOWERS


def operator_text(node: ir.Node, version: int) -> str:
    """The operator with its opset, wiring and attributes. Part of the fingerprint."""
    attributes = ", ".join(
        f"{name}={_attribute_text(attribute)}" for name, attribute in sorted(node.attributes.items())
    )
    given = ", ".join("" if value is None else str(value.name) for value in node.inputs)
    made = ", ".join(str(value.name) for value in node.outputs)
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return f"{made} = {domain}{node.op_type}.{version}({given}){{{attributes}}}"


def _attribute_text(attribute: ir.Attr) -> str:
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        graphs = attribute.as_graphs() if attribute.type is ir.AttributeType.GRAPHS else [attribute.as_graph()]
        return "+".join(_graph_text(graph) for graph in graphs)
    if attribute.type is ir.AttributeType.TENSOR:
        return _tensor_text(attribute.as_tensor())
    return repr(attribute.value)


def _graph_text(graph: ir.Graph) -> str:
    """A digest of a body: inputs, operators in order, weights of its own, outputs."""
    digest = hashlib.sha256()
    digest.update(repr([value.name for value in graph.inputs]).encode())
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            digest.update(f"{name} {_tensor_text(value.const_value)}".encode())
    for node in graph:
        digest.update(operator_text(node, 0).encode())
    digest.update(repr([value.name for value in graph.outputs]).encode())
    return digest.hexdigest()


def _tensor_text(tensor: ir.TensorProtocol) -> str:
    return f"{tensor.dtype.name}{list(tensor.shape)}:{hashlib.sha256(tensor.tobytes()).hexdigest()}"


def _needed(outputs: list[ir.Value]) -> set[ir.Node]:
    needed: set[ir.Node] = set()
    queue = [value.producer() for value in outputs]
    while queue:
        node = queue.pop()
        if node is not None and node not in needed:
            needed.add(node)
            queue.extend(value.producer() for value in reads(node))
    return needed


def _refuse_random(node: ir.Node) -> None:
    training = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    drops = training is not None and training.const_value is not None and bool(training.const_value.numpy())
    if node.op_type in _RANDOM or drops:
        raise ModelError(f"the model draws random numbers ({node.op_type} {node.name}), so no answer repeats")
