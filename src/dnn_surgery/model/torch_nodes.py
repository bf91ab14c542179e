"""The role of each node of an exported graph: constant, size, or data. Only data is placed and sent.

constant: depends on weights, buffers and literals alone; every side computes it for itself.
size: an integer read from a tensor's shape (a dynamic batch); re-read from a local tensor, never sent.
local: made from sizes and constants, such as ``zeros(batch, 8)``; every side computes it for itself.
data: everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from dnn_surgery.errors import ModelError

_RANDOM = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "normal"),
    *(
        "multinomial",
        "poisson",
        "native_dropout",
        "exponential",
        "uniform",
        "random",
        "geometric",
        "log_normal",
        "cauchy",
    ),
}
# Cheap beside what they follow, whatever the engine. Pointwise operators are known by their tag.
_FOLLOWERS = {
    *(
        "view",
        "reshape",
        "_unsafe_view",
        "flatten",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "expand",
        "select",
    ),
    *(
        "slice",
        "clone",
        "contiguous",
        "_to_copy",
        "to",
        "alias",
        "detach",
        "dropout",
        "getitem",
        "batch_norm",
        "softmax",
    ),
    *("_softmax", "log_softmax", "_log_softmax", "_native_batch_norm_legit_no_training", "native_batch_norm", "unbind"),
    *(
        "pixel_shuffle",
        "channel_shuffle",
        "chunk",
        "split",
        "split_with_sizes",
        "movedim",
        "unflatten",
        "lift_fresh_copy",
    ),
}


# What the protocol has a name for; complex and 8-bit floating-point tensors stay within a layer.
_SENDABLE = {
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32),
    *(torch.int64, torch.float16, torch.float32, torch.float64, torch.bfloat16),
}


@dataclass(frozen=True)
class Roles:
    """Nodes by role. `data` is in topological order; the others are sets."""

    constant: frozenset[fx.Node]
    size: frozenset[fx.Node]
    local: frozenset[fx.Node]
    data: tuple[fx.Node, ...]


def roles(graph: fx.Graph, inputs: Collection[fx.Node]) -> Roles:
    """Sorts the nodes that compute the model's outputs; all others are left out."""
    needed = _needed(graph)
    constant, size, local, data = set[fx.Node](), set[fx.Node](), set[fx.Node](), list[fx.Node]()
    for node in graph.nodes:
        if node not in needed or node.op == "output":
            continue
        sources = set(node.all_input_nodes)
        if node in inputs:
            data.append(node)
        elif _is_number(node) and not _is_unbacked(node):
            size.add(node)
        elif sources <= constant:
            constant.add(node)
        elif sources <= constant | size | local:
            local.add(node)
        else:
            data.append(node)
        _refuse_random(node)
    return Roles(frozenset(constant), frozenset(size), frozenset(local), tuple(data))


def _needed(graph: fx.Graph) -> set[fx.Node]:
    needed = set[fx.Node]()
    queue = [node for node in graph.nodes if node.op == "output"]
    while queue:
        node = queue.pop()
        if node not in needed:
            needed.add(node)
            queue.extend(node.all_input_nodes)
    return needed


def _is_number(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool))


def _is_unbacked(node: fx.Node) -> bool:
    """Whether a number depends on data (``item()``): then it is data, and its readers stay in the same layer."""
    value = node.meta.get("val")
    if not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return False
    return any(str(symbol).startswith(("u", "zuf")) for symbol in value.node.expr.free_symbols)


def _refuse_random(node: fx.Node) -> None:
    name = operator_name(node)
    if name in _RANDOM or (name == "dropout" and node.args[-1] is True):
        raise ModelError(
            f"the model draws random numbers ({name} in {module_path(node) or 'the model'}), so no answer repeats"
        )


def operator_name(node: fx.Node) -> str:
    """``conv2d``, ``add``: the operator without namespace and overload."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._opname
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def operator_text(node: fx.Node, place: Mapping[fx.Node, int] | None = None) -> str:
    """The operator with its literal arguments.

    A node among them appears as its `place`, or as ``_`` without one; devices and sizes that vary always as ``_``.
    """

    def literal(value: object) -> object:
        if isinstance(value, fx.Node):
            return f"%{place[value]}" if place is not None else "_"
        return "_" if isinstance(value, (torch.SymInt, torch.device)) else value

    arguments = pytree.tree_map(literal, (node.args, dict(node.kwargs)))
    return f"{operator_name(node)}{arguments!r}"


def is_follower(node: fx.Node) -> bool:
    """Whether an operator is cheap enough to join the layer that it follows."""
    if node.op != "call_function":
        return False
    if operator_name(node) in _FOLLOWERS:
        return True
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags


def is_cuttable(node: fx.Node) -> bool:
    """Whether a node's value is a plain tensor of a type that can be sent."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype in _SENDABLE


def needs_storage_of(node: fx.Node) -> bool:
    """Whether an operator looks past its input's shape into its storage, so that it cannot be cut from its producer."""
    return operator_name(node) == "as_strided"


def module_path(node: fx.Node) -> str:
    """The path of the innermost module whose forward ran the operator; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if not path.startswith("_empty_nn_module_stack")]
    return str(paths[-1]) if paths else ""


def size_expression(node: fx.Node) -> Any:
    """The sympy expression of a size, such as ``s0`` or ``2*s0``; an int where it does not vary."""
    value = node.meta["val"]
    return value.node.expr if isinstance(value, torch.SymInt) else value
