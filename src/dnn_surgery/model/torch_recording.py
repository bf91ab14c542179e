"""The traced example, run once: how many bytes each tensor has and in which memory order real operators leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from dnn_surgery.errors import ModelError
from dnn_surgery.model import torch_nodes as nodes
from dnn_surgery.model.exporting import first_line
from dnn_surgery.model.torch_program import Layout


@dataclass(frozen=True, slots=True)
class Recorded:
    """A data tensor of the example."""

    size_bytes: int
    layout: Layout


class Recorder(fx.Interpreter):
    """Runs the example once and notes the size and memory order of every data tensor, as real operators make them."""

    def __init__(self, program: ExportedProgram, roles: nodes.Roles) -> None:
        super().__init__(program.graph_module, graph=program.graph)
        self.needed = {*roles.data, *roles.constant, *roles.size, *roles.local}
        self.data = set(roles.data)
        self.recorded: dict[fx.Node, Recorded] = {}

    def record(
        self, constants: Mapping[str, object], example: Mapping[fx.Node, torch.Tensor]
    ) -> dict[fx.Node, Recorded]:
        """Runs the program once.

        Args:
            constants: parameters, buffers and lifted constants, by the name of their placeholder.
            example: the inputs.

        Raises:
            ModelError: the program does not run on its own example.
        """
        inputs = {node.name: value for node, value in example.items()}
        known = {**constants, **inputs}
        try:
            self.run(*(known.get(node.name) for node in self.graph.nodes if node.op == "placeholder"))
        except Exception as error:
            raise ModelError(f"the traced model does not run on its own example: {first_line(error)}") from error
        return self.recorded

    def run_node(self, n: fx.Node) -> Any:
        """One operator; what no layer needs is passed over."""
        if n not in self.needed and n.op not in ("output", "placeholder"):
            return None
        value = super().run_node(n)
        if n in self.data and isinstance(value, torch.Tensor):
            self.recorded[n] = Recorded(value.numel() * value.element_size(), Layout.of(value))
        return value
