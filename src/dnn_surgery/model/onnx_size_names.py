"""Which open sizes of an ONNX graph are equal, as far as onnx's own inference does not say it.

It gives a new name to what a Reshape leaves to be computed (-1), and to what two names broadcast to. Both are often the
batch, or a multiple: a Reshape keeps the number of elements, and equal sizes broadcast to themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import onnx_ir as ir

_TIMES = "*"

_Size = int | str | None

_BROADCASTING = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Mod", "PRelu", "Where", "And", "Or", "Xor"),
        *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "MatMul"),
    }
)


def merge_names(graph: ir.Graph) -> None:
    """Writes one name, a product of names (``4*batch``) or the number for sizes that are equal."""
    merged = _Merged()
    for node in graph:
        if node.op_type == "Reshape":
            merged.reshape(node)
        elif node.op_type in _BROADCASTING:
            merged.broadcast(node)
    if not merged.same:
        return
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for value in node.outputs:
            if value.shape is not None:
                value.shape = ir.Shape(merged.sizes(value))


def factors(sizes: Iterable[int | str | None]) -> tuple[int, Counter[str]]:
    """The product of sizes as a number and names, each as often as it is a factor."""
    number, names = 1, Counter[str]()
    for size in sizes:
        for factor in str(size).split(_TIMES):
            if factor.isdigit():
                number *= int(factor)
            else:
                names[factor] += 1
    return number, names


def product(number: int, names: Counter[str]) -> int | str:
    """The size that has these factors, such as ``4*batch``; a number where there are no names."""
    if not names:
        return number
    return _TIMES.join([str(number)] * (number != 1) + sorted(names.elements()))


class _Merged:
    """`same` leads from a name to an equal size that is known better."""

    def __init__(self) -> None:
        self.same: dict[str, int | str] = {}

    def size(self, size: int | ir.SymbolicDim) -> _Size:
        found: _Size = size if isinstance(size, int) else size.value
        while isinstance(found, str) and found in self.same:
            found = self.same[found]
        return found

    def sizes(self, value: ir.Value | None) -> list[_Size]:
        return [] if value is None or value.shape is None else [self.size(size) for size in value.shape]

    def reshape(self, node: ir.Node) -> None:
        given, made = self.sizes(node.inputs[0]), self.sizes(node.outputs[0])
        if not given or None in given or made.count(None) or 0 in (*given, *made):
            return
        (numbers_in, names_in), (numbers_out, names_out) = factors(given), factors(made)
        left, right = names_in - names_out, list((names_out - names_in).elements())
        if len(right) == 1 and numbers_in % numbers_out == 0 and right[0] not in left:
            self.same[right[0]] = product(numbers_in // numbers_out, left)

    def broadcast(self, node: ir.Node) -> None:
        shapes = [self.sizes(value) for value in node.inputs if value is not None]
        if any(value is not None and value.shape is None for value in node.inputs):
            return
        made = self.sizes(node.outputs[0])
        # The last two of a matrix product are its rows and columns.
        last = 2 if node.op_type == "MatMul" else 0
        for place in range(1 + last, len(made) + 1):
            size = made[-place]
            found = {shape[-place] for shape in shapes if len(shape) >= place} - {1}
            known = found.pop() if len(found) == 1 else None
            if isinstance(size, str) and known is not None and known != size:
                self.same[size] = known
