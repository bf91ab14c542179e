"""Sizes that vary (a dynamic batch) are never sent: a part re-reads them from the shapes of the tensors it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import fx

from dnn_surgery.errors import ModelError
from dnn_surgery.model.torch_nodes import size_expression
from dnn_surgery.model.torch_sizes import reading


class SizeReader:
    """Adds nodes to a part's graph that compute a size from its tensors.

    `copies` maps the nodes of the whole graph to those of the part that stand for them; it may grow meanwhile.
    """

    def __init__(self, part: fx.Graph, copies: Mapping[fx.Node, fx.Node]) -> None:
        self.part, self.copies = part, copies

    def has_sources(self, node: fx.Node, needed: Collection[fx.Node]) -> bool:
        """Whether everything that a size node reads is in the part anyway, so that it can simply be copied."""
        return all(source in needed for source in node.all_input_nodes)

    def read(self, node: fx.Node) -> fx.Node:
        """The size as a new node.

        Raises:
            ModelError: no tensor's shape tells it.
        """
        found = reading(node, self.copies)
        if found is None:
            raise ModelError(f"size {size_expression(node)} cannot be read from the tensors that cross this cut")
        size = self.part.call_function(torch.ops.aten.sym_size.int, (self.copies[found.node], found.dim))
        if (found.factor, found.offset, found.divisor) == (1, 0, 1):
            return size
        return self.part.call_function(_affine, (size, found.factor, found.offset, found.divisor))


def _affine(size: int, factor: int, offset: int, divisor: int) -> int:
    return (size * factor + offset) // divisor
