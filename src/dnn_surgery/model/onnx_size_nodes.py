"""Operators that compute from sizes alone: every part can run them that has the tensors whose sizes they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

# What programs do with sizes: pick, calculate, and fill tensors with constants and counted-up numbers.
_OPERATORS = frozenset(
    {
        *("Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div", "Equal", "Expand"),
        *("Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min"),
        *("Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceProd", "ReduceSum", "Reshape"),
        *("Round", "ScatterElements", "ScatterND", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile"),
        *("Transpose", "Trilu", "Unsqueeze", "Where"),
    }
)


class SizeNodes:
    """Those nodes of a graph, what they make, and the tensors whose shape each value `needs`."""

    def __init__(self, graph: ir.Graph) -> None:
        self.nodes: set[ir.Node] = set()
        self.values: set[ir.Value] = set()
        self.needs: dict[ir.Value, frozenset[ir.Value]] = {}
        self._constant: set[ir.Value] = set()
        for node in graph:
            self.note(node)

    def note(self, node: ir.Node) -> None:
        """Looks at a node whose inputs' makers were looked at before."""
        given = [value for value in node.inputs if value is not None]
        if node.domain not in ("", "ai.onnx"):
            return
        if node.op_type in ("Shape", "Size") and not self._is_constant(given[0]):
            needed = self.needs.get(given[0], frozenset({given[0]}))
        elif node.op_type not in _OPERATORS:
            return
        elif all(self._is_constant(value) for value in given):
            self._constant.update(node.outputs)
            return
        elif all(self._is_constant(value) or value in self.values for value in given):
            needed = frozenset().union(*(self.needs[value] for value in given if value in self.values))
        else:
            return
        self.nodes.add(node)
        self.values.update(node.outputs)
        self.needs.update((value, needed) for value in node.outputs)

    def travelling(self, outputs: Iterable[ir.Value], reads: Mapping[ir.Node, Iterable[ir.Value]]) -> set[ir.Node]:
        """Those that some part could not run: it reads what they make, and not all tensors whose sizes they need.

        `outputs` are the model's, `reads` what the other nodes read.
        """
        queue = [value for value in outputs if value in self.values]
        for given in reads.values():
            at_hand = {value for value in given if value not in self.values}
            queue.extend(value for value in given if not self.needs.get(value, frozenset()) <= at_hand)
        found: set[ir.Node] = set()
        while queue:
            node = queue.pop().producer()
            if node in self.nodes and node is not None and node not in found:
                found.add(node)
                queue.extend(value for value in node.inputs if value in self.values)
        return found

    def _is_constant(self, value: ir.Value) -> bool:
        return value in self._constant or value.is_initializer()
