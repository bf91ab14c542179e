"""What the torch engine needs to run a graph: the functional operators of each layer, and the constants they read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx

from dnn_surgery.model.torch_nodes import Roles


@dataclass(frozen=True, eq=False)
class TorchProgram:
    """A functional graph of ATen operators.

    `constants` are the values of placeholders and attributes that are no input, by node name; `parameters` the weights
    by the name that a Layer uses. `node` is the fx node of each tensor. `stride_order` lists a tensor's dimensions from
    the widest stride to the narrowest, as recorded when it was traced: a receiver lays the tensor out that way, so that
    every operator sees the memory order it saw in the unsplit model. `example` are the traced inputs.
    """

    graph: fx.Graph
    roles: Roles
    constants: Mapping[str, object]
    parameters: Mapping[str, torch.Tensor]
    node: Mapping[str, fx.Node]
    stride_order: Mapping[str, tuple[int, ...]]
    example: Mapping[str, torch.Tensor]
    kind: str = "torch"

    def parameter_digest(self, name: str) -> bytes:
        """SHA-256 over name, dtype, shape and bytes of one weight."""
        value = self.parameters[name].detach().cpu().contiguous()
        digest = hashlib.sha256(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
        return digest.digest()


def stride_order(tensor: torch.Tensor) -> tuple[int, ...]:
    """Dimensions from the widest stride to the narrowest; dimensions of size 1 have no say, so they stay in place."""
    strides = [
        tensor.stride(dim) if tensor.shape[dim] != 1 else max((*tensor.stride()[dim:], 1))
        for dim in range(tensor.dim())
    ]
    return tuple(sorted(range(tensor.dim()), key=lambda dim: -strides[dim]))
