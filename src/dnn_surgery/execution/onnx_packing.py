"""Whether a session should re-order its weights for its kernels, or read them from the file where they lie.

Re-ordered (packed) weights are a copy in each session, and make products of many rows faster: 5 to 80 % of the time of
detectors and transformers. A fully connected layer reads each weight once a frame, so there packing gains nothing, and
such layers are most of VGG16 and AlexNet: 494 of 553 MB. Read from the file, all sessions share one copy of them.
"""

from __future__ import annotations

import math

import onnx_ir as ir

# Of the bytes of a part's weights, those of products of one row, for the rest not to matter.
_MOSTLY = 0.75


def is_worth_packing(graph: ir.GraphView | ir.Graph) -> bool:
    """False where nearly all weights are multiplied with one row a frame."""
    sizes = {value: value.const_value.nbytes for value in graph.initializers.values() if value.const_value is not None}
    one_row = {
        node.inputs[1]
        for node in graph
        if node.op_type in ("Gemm", "MatMul") and len(node.inputs) > 1 and _rows(node) == 1
    }
    return sum(sizes[value] for value in one_row if value in sizes) < _MOSTLY * sum(sizes.values())


def _rows(node: ir.Node) -> int | None:
    """How many rows are multiplied; a size that is open, such as the batch, counts as one."""
    given = node.inputs[0]
    transposed = "transA" in node.attributes and node.attributes["transA"].as_int()
    if given is None or given.shape is None or not len(given.shape) or transposed:
        return None
    return math.prod(size for size in given.shape[:-1] if isinstance(size, int))
