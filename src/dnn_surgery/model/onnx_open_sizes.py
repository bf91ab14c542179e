"""Sizes that a file leaves open (a dynamic batch) are read where they are used, from a tensor at hand, and never sent.

    before:  x -> Shape -> Gather -> Concat --\\            after:  x -> Conv -> y -> Shape -> Gather -> Concat --\\
             x -> Conv -> y ---------------> Reshape                            \\-----------------------------> Reshape

Shape inference gives equal sizes one name (``batch``), so a size of that name may be read from whatever the operator
that needs it reads anyway. What is computed from sizes is then computed on both sides of a cut. Where no tensor that an
operator reads tells the size, it keeps reading it from where it was made, and it travels: a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from dnn_surgery.model.onnx_elements import Elements, Known
from dnn_surgery.model.onnx_nodes import reads
from dnn_surgery.model.onnx_size_names import factors
from dnn_surgery.model.onnx_size_nodes import SizeNodes

# A tensor, the number of a dimension, and how many times the size that dimension is.
_Source = tuple[ir.Value, int, int]


def read_sizes_where_used(model: ir.Model) -> bool:
    """Rewires operators whose sizes come from elsewhere, as far as what they read tells them; whether any was."""
    return _Rewiring(model.graph).run()


class _Rewiring:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.sizes = SizeNodes(graph)
        self.known = Known()
        self.taken = {str(value.name) for node in graph for value in node.outputs} | set(graph.initializers)

    def run(self) -> bool:
        changed = False
        for node in list(self.graph):
            if node in self.sizes.nodes:
                continue
            local = {value for value in reads(node) if value not in self.sizes.values}
            for place, value in enumerate(node.inputs):
                if value is None or self.sizes.needs.get(value, frozenset()) <= local:
                    continue
                rebuilt = _Rebuilding(self, node, local).value(value)
                if rebuilt is not None:
                    node.replace_input_with(place, rebuilt)
                    changed = True
        return changed

    def name(self, wanted: str) -> str:
        found, number = wanted, 0
        while found in self.taken:
            number += 1
            found = f"{wanted}_{number}"
        self.taken.add(found)
        return found


class _Rebuilding:
    """Rebuilds what one operator needs to know of sizes from the tensors `local` that it reads."""

    def __init__(self, owner: _Rewiring, reader: ir.Node, local: set[ir.Value]) -> None:
        self.owner, self.local = owner, local
        self.sources = _sources(local)
        self.reader = reader
        self.nodes: list[ir.Node] = []
        self.made: dict[ir.Value, ir.Value | None] = {}

    def value(self, value: ir.Value) -> ir.Value | None:
        """The same numbers, of what is at hand; None where that does not tell them. The graph then stays as it was."""
        made = self._of(value)
        if made is None:
            return None
        self.owner.graph.insert_before(self.reader, self.nodes)
        for node in self.nodes:
            self.owner.sizes.note(node)
        return made

    def _of(self, value: ir.Value) -> ir.Value | None:
        if value not in self.owner.sizes.values:
            return value
        if value not in self.made:
            elements = self.owner.known.elements(value)
            made = None if elements is None else self._from_elements(elements)
            self.made[value] = made or self._copy(value)
        return self.made[value]

    def _from_elements(self, elements: Elements) -> ir.Value | None:
        if not all(self._is_told(item) for item in elements.items):
            return None
        pieces = [self._element(item) for item in elements.items]
        joined = pieces[0] if len(pieces) == 1 else self._add("Concat", *pieces, axis=0) if pieces else None
        if joined is None:
            return None
        if elements.is_scalar:
            joined = self._add("Squeeze", joined)
        return joined if elements.dtype == ir.DataType.INT64 else self._add("Cast", joined, to=elements.dtype)

    def _is_told(self, item: int | str | None) -> bool:
        return item is not None and (item in self.sources or all(name in self.sources for name in factors([item])[1]))

    def _element(self, item: int | str | None) -> ir.Value:
        """One size, as [1]."""
        if item in self.sources:
            tensor, dim, multiple = self.sources[str(item)]
            read = self._add("Gather", self._add("Shape", tensor), self._number(dim), axis=0)
            return read if multiple == 1 else self._add("Div", read, self._number(multiple))
        number, names = factors([item])
        pieces = [self._element(name) for name in names.elements()]
        made = pieces.pop() if pieces else self._number(number)
        for piece in pieces:
            made = self._add("Mul", made, piece)
        return self._add("Mul", made, self._number(number)) if names and number != 1 else made

    def _number(self, number: int) -> ir.Value:
        value = ir.val(self.owner.name("size"), const_value=ir.tensor(np.array([number], np.int64)))
        self.owner.graph.register_initializer(value)
        return value

    def _copy(self, value: ir.Value) -> ir.Value | None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type in ("Shape", "Size") and node.inputs[0] not in self.owner.sizes.values:
            inputs: list[ir.Value | None] = list(node.inputs)
            if node.inputs[0] not in self.local:
                return None
        else:
            inputs = [None if given is None else self._of(given) for given in node.inputs]
            if any(made is None for given, made in zip(node.inputs, inputs, strict=True) if given is not None):
                return None
        copy = ir.Node(
            node.domain, node.op_type, inputs, attributes=list(node.attributes.values()), num_outputs=len(node.outputs)
        )
        self._place(copy)
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.type = old.type
            self.made[old] = new
        return self.made[value]

    def _add(self, operator: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        node = ir.node(operator, list(inputs), attributes=attributes or None)  # type: ignore[arg-type]
        self._place(node)
        return node.outputs[0]

    def _place(self, node: ir.Node) -> None:
        node.name = self.owner.name(f"size_{node.op_type}")
        for value in node.outputs:
            value.name = self.owner.name(node.name)
        self.nodes.append(node)


def _sources(tensors: Iterable[ir.Value]) -> Mapping[str, _Source]:
    """Where each size can be read; of the first tensor by name, so that it is the same in every process."""
    found: dict[str, _Source] = {}
    multiples: dict[str, _Source] = {}
    for value in sorted(tensors, key=lambda value: str(value.name)):
        for dim, size in enumerate(value.shape or ()):
            if isinstance(size, int) or size.value is None:
                continue
            found.setdefault(size.value, (value, dim, 1))
            multiple, names = factors([size.value])
            if names.total() == 1:
                multiples.setdefault(next(iter(names)), (value, dim, multiple))
    return {**multiples, **found}
