"""One number for a model, so that two processes can tell whether they hold the same one."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnn_surgery.model.graph import ModelGraph


def fingerprint(graph: ModelGraph) -> str:
    """Hex SHA-256 over the layers (names, wiring), the operators, the tensors (type, shape) and every weight's bytes.

    Engine, device and versions are left out: both sides may differ in them.
    """
    structure = {
        "layers": [
            [layer.name, layer.inputs, layer.outputs, layer.operators, layer.parameters] for layer in graph.layers
        ],
        "tensors": [[tensor.name, tensor.dtype, tensor.shape] for tensor in graph.tensors.values()],
        "inputs": graph.inputs,
        "outputs": graph.outputs,
    }
    digest = hashlib.sha256(json.dumps(structure, sort_keys=True, separators=(",", ":")).encode())
    digest.update(graph.program.operators_digest())
    for name in sorted({name for layer in graph.layers for name in layer.parameters}):
        digest.update(graph.program.parameter_digest(name))
    return digest.hexdigest()
