"""Which sizes a vector of an ONNX graph holds, element by element, where that follows from the operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

# Vectors of sizes are short; anything longer is no shape.
_LONGEST = 64

_WHOLE = (ir.DataType.INT64, ir.DataType.INT32)


@dataclass(frozen=True, slots=True)
class Elements:
    """Each element is a number, the name of a size, or not known (None); one element alone may be a scalar."""

    items: tuple[int | str | None, ...]
    is_scalar: bool
    dtype: ir.DataType


class Known:
    """What is known of values, each looked at once."""

    def __init__(self) -> None:
        self._found: dict[ir.Value, Elements | None] = {}

    def elements(self, value: ir.Value) -> Elements | None:
        """The elements; None for what is no vector of whole numbers, or is computed in another way."""
        if value not in self._found:
            self._found[value] = None
            self._found[value] = self._look(value)
        return self._found[value]

    def _look(self, value: ir.Value) -> Elements | None:
        if value.const_value is not None:
            return _of_constant(value.const_value)
        node = value.producer()
        if node is None or node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
            return None
        if node.op_type == "Shape":
            return _of_shape(node)
        if node.op_type == "Concat":
            return self._joined(node)
        first = self.elements(node.inputs[0])
        return None if first is None else _changed(first, node)

    def _joined(self, node: ir.Node) -> Elements | None:
        parts = [None if value is None else self.elements(value) for value in node.inputs]
        known = [part for part in parts if part is not None and not part.is_scalar]
        if len(known) < len(parts) or len({part.dtype for part in known}) != 1:
            return None
        return Elements(tuple(item for part in known for item in part.items), False, known[0].dtype)


def _changed(first: Elements, node: ir.Node) -> Elements | None:
    if node.op_type == "Cast":
        dtype = ir.DataType(node.attributes["to"].as_int())
        return replace(first, dtype=dtype) if dtype in _WHOLE else None
    if node.op_type == "Identity":
        return first
    if node.op_type in ("Squeeze", "Unsqueeze"):
        return _reshaped(first, node)
    if node.op_type in ("Gather", "Slice"):
        arrays = [array for value in node.inputs[1:] if value is not None and (array := _constant(value)) is not None]
        return _picked(first, node, arrays) if len(arrays) == len(node.inputs) - 1 else None
    return None


def _constant(value: ir.Value) -> NDArray[Any] | None:
    return None if value.const_value is None else value.const_value.numpy()


def _of_constant(tensor: ir.TensorProtocol) -> Elements | None:
    if tensor.dtype not in _WHOLE or len(tensor.shape) > 1 or tensor.size > _LONGEST:
        return None
    return Elements(tuple(int(item) for item in tensor.numpy().reshape(-1)), len(tensor.shape) == 0, tensor.dtype)


def _of_shape(node: ir.Node) -> Elements | None:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if shape is None:
        return None
    items = tuple(size if isinstance(size, int) else size.value for size in shape)
    start, end = (node.attributes[key].as_int() if key in node.attributes else None for key in ("start", "end"))
    return Elements(items[start:end], False, ir.DataType.INT64)


def _reshaped(first: Elements, node: ir.Node) -> Elements | None:
    shape = node.outputs[0].shape
    if len(first.items) != 1 or shape is None or len(shape) > 1:
        return None
    return replace(first, is_scalar=len(shape) == 0)


def _picked(first: Elements, node: ir.Node, given: list[NDArray[Any]]) -> Elements | None:
    places = np.arange(len(first.items))
    if node.op_type == "Gather":
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        if axis != 0 or given[0].ndim > 1 or np.any(given[0] >= len(places)) or np.any(given[0] < -len(places)):
            return None
        chosen = places[given[0]]
        return Elements(tuple(first.items[place] for place in np.ravel(chosen)), chosen.ndim == 0, first.dtype)
    if len(given) < 2 or any(array.size != 1 for array in given):
        return None
    start, end, step = int(given[0].item()), int(given[1].item()), int(given[3].item()) if len(given) > 3 else 1
    if step < 1:
        return None
    return replace(first, items=first.items[start:end:step])
