"""Sizes that vary (a dynamic batch) are never sent: a part re-reads them from the shapes of what it was given."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sympy
import torch
from torch import fx

from dnn_surgery.errors import ModelError
from dnn_surgery.model.torch_nodes import size_expression


class SizeReader:
    """Adds nodes to a part's graph that compute a size from its placeholders.

    `given` maps the nodes of the whole graph to the part's placeholders.
    """

    def __init__(self, part: fx.Graph, given: Mapping[fx.Node, fx.Node]) -> None:
        self.part, self.given = part, given

    def has_sources(self, node: fx.Node, needed: Collection[fx.Node]) -> bool:
        """Whether everything that a size node reads is in the part anyway, so that it can simply be copied."""
        return all(source in needed for source in node.all_input_nodes)

    def read(self, node: fx.Node) -> fx.Node:
        """The size as a new node.

        Raises:
            ModelError: no given tensor's shape tells it.
        """
        wanted = sympy.sympify(size_expression(node))
        for whole, placeholder in self.given.items():
            for dim, size in enumerate(whole.meta["val"].shape):
                if not isinstance(size, torch.SymInt):
                    continue
                ratio = sympy.simplify(wanted / size.node.expr)
                if ratio.is_Rational:
                    found = self.part.call_function(torch.ops.aten.sym_size.int, (placeholder, dim))
                    return self._scaled(found, int(ratio.p), int(ratio.q))
        raise ModelError(f"size {wanted} cannot be read from the tensors that cross this cut")

    def _scaled(self, size: fx.Node, numerator: int, denominator: int) -> fx.Node:
        if (numerator, denominator) == (1, 1):
            return size
        return self.part.call_function(_scale, (size, numerator, denominator))


def _scale(size: int, numerator: int, denominator: int) -> int:
    return size * numerator // denominator
