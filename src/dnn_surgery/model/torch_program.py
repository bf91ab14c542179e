"""What the torch engine needs to run a graph: the functional operators of each layer, and the constants they read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from dnn_surgery.model.torch_nodes import Roles, operator_text


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor lies in memory.

    A receiver lays it out in the same way, so that every operator sees what it saw in the unsplit model: kernels choose
    their path, and so the order of their sums, by strides. `order` lists the dimensions from the widest stride to the
    narrowest. `of_ones` are the strides of dimensions of size 1, which say nothing about memory but do tell kernels
    apart (a channels-last check reads them).
    """

    order: tuple[int, ...]
    of_ones: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Layout:
        """The layout of a tensor."""
        strides, sizes = tensor.stride(), tensor.shape
        order = sorted(range(tensor.dim()), key=lambda dim: -strides[dim] if sizes[dim] != 1 else 0)
        ones = tuple((dim, strides[dim]) for dim in range(tensor.dim()) if sizes[dim] == 1)
        return cls(tuple(order), ones)

    def strides(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The strides of a dense tensor of this shape in this layout."""
        strides, step = [0] * len(shape), 1
        for dim in reversed(self.order):
            strides[dim] = step
            step *= max(shape[dim], 1)
        for dim, stride in self.of_ones:
            if shape[dim] == 1:
                strides[dim] = stride
        return tuple(strides)

    def apply(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same values in this layout; the tensor itself where it lies so already."""
        wanted = self.strides(tensor.shape)
        if tensor.stride() == wanted:
            return tensor
        return torch.empty_strided(tuple(tensor.shape), wanted, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


@dataclass(frozen=True, eq=False)
class TorchProgram:
    """A functional graph of ATen operators.

    `constants` are the values of placeholders and attributes that are no input, by node name; `parameters` the weights
    by the name that a Layer uses. `node` is the fx node of each tensor, `layout` how it lay in memory when it was
    traced. `example` are the traced inputs.
    """

    graph: fx.Graph
    roles: Roles
    constants: Mapping[str, object]
    parameters: Mapping[str, torch.Tensor]
    node: Mapping[str, fx.Node]
    layout: Mapping[str, Layout]
    example: Mapping[str, torch.Tensor]
    kind: str = "torch"

    def operators_digest(self) -> bytes:
        """SHA-256 over all operators in order; what one reads is named by its place, so that names play no part."""
        roles, digest = self.roles, hashlib.sha256()
        needed = {*roles.data, *roles.constant, *roles.local, *roles.size}
        place: dict[fx.Node, int] = {}
        for node in self.graph.nodes:
            if node in needed or node.op == "output":
                digest.update(f"{len(place)} {self._source(node)} {operator_text(node, place)}\n".encode())
                place[node] = len(place)
        return digest.digest()

    def _source(self, node: fx.Node) -> str:
        """What a node without operator stands for: an input or a weight by name, a branch by its code."""
        if node.op == "call_function":
            return ""
        value = self.constants.get(node.name)
        return value.code if isinstance(value, fx.GraphModule) else str(node.target)

    def parameter_digest(self, name: str) -> bytes:
        """SHA-256 over name, dtype, shape and bytes of one weight."""
        value = self.parameters[name].detach().cpu().contiguous()
        digest = hashlib.sha256(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
        return digest.digest()
