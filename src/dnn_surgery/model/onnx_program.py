"""What an engine needs to run the graph of an ONNX file: the file in plain form, its weights left on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from dnn_surgery.errors import ModelError
from dnn_surgery.model.onnx_stages import NO_STAGES, Stages

# Smaller tensors (shapes, scales) stay in the model file, where the engine can fold them.
EXTERNAL_BYTES = 1024
_PIECE_BYTES = 2**20
MODEL_FILE, WEIGHTS_FILE = "model.onnx", "weights.bin"


@dataclass(frozen=True, eq=False)
class OnnxProgram:
    """An ONNX file; every tensor of the graph is a value of its, by the same name.

    `operators` is the digest of all operators, `digests` are the weights' by name. `input_shapes` are sizes that a
    user fixed, `stages` what was put around it, `example` inputs to measure with. The weights are not kept in memory:
    engines copy what they run, so :meth:`write` reads the file again.
    """

    path: Path
    operators: bytes
    digests: Mapping[str, bytes]
    input_shapes: Mapping[str, tuple[int, ...]]
    example: Mapping[str, NDArray[Any]]
    stages: Stages = NO_STAGES
    kind: str = "onnx"

    def operators_digest(self) -> bytes:
        """SHA-256 over every operator that plays a part, its attributes and what it reads."""
        return self.operators

    def parameter_digest(self, name: str) -> bytes:
        """SHA-256 over name, dtype, shape and bytes of one weight."""
        return self.digests[name]

    def write(self, folder: Path) -> None:
        """Writes the model in plain form to `folder`, its larger weights in a file of their own.

        Raises:
            ModelError: the file is not what it was when the graph was made.
        """
        from dnn_surgery.model.onnx_graph import prepared

        model, _ = prepared(self.path, self.input_shapes, self.stages)
        for name, value in model.graph.initializers.items():
            if name in self.digests and weight_digest(value) != self.digests[name]:
                raise ModelError(f"{self.path} has changed since it was loaded: load it again")
        write_model(model, folder)


def write_model(model: ir.Model, folder: Path) -> None:
    """Writes a model as every part of it is made from: `MODEL_FILE`, and its larger weights in `WEIGHTS_FILE`."""
    ir.save(model, folder / MODEL_FILE, external_data=WEIGHTS_FILE, size_threshold_bytes=EXTERNAL_BYTES)
    release(model)


def weight_digest(value: ir.Value) -> bytes:
    """SHA-256 over name, dtype, shape and bytes of an initialiser."""
    tensor = value.const_value
    if tensor is None:
        raise ModelError(f"the weight {value.name!r} has no values")
    digest = hashlib.sha256(f"{value.name} {tensor.dtype.name} {tuple(tensor.shape)}".encode())
    if isinstance(tensor, ir.ExternalTensor):
        _digest_file(digest, tensor)
    else:
        digest.update(tensor.tobytes())
    return digest.digest()


def _digest_file(digest: hashlib._Hash, tensor: ir.ExternalTensor) -> None:
    """Reads piece by piece: mapped or copied as a whole, a model's weights would count as this process's memory."""
    left = tensor.length or tensor.nbytes
    with Path(tensor.path).open("rb") as file:
        file.seek(tensor.offset or 0)
        while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
            digest.update(piece)
            left -= len(piece)


def release(model: ir.Model) -> None:
    """Gives up what was mapped of external data; it is mapped again where it is needed."""
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value.release()
