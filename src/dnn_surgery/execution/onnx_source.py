"""Models of parts, extracted from a model in the cache by onnx_ir; the weights stay in the cache's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from dnn_surgery.errors import ModelError
from dnn_surgery.model.onnx_program import MODEL_FILE

# A protobuf message ends at 2 GiB.
EMBEDDED_BYTES = 2**30


class PartSource:
    """Extracts parts from the model in `folder`, whose values have the names of the graph's tensors.

    Raises:
        ModelError: the cache entry is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._model = ir.load(folder / MODEL_FILE)
        except Exception as error:  # protobuf's and the reader's own errors have no common root
            raise ModelError(f"the cache entry {folder} is damaged: remove it") from error

    def extract(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """The serialised model that computes `outputs` from `inputs`; it names the weights' file, relative to `folder`.

        Raises:
            ModelError: the model needs more than `inputs`, such as a size of a tensor that is not given.
        """
        return ir.serde.serialize_model(self._part(inputs, outputs)).SerializeToString()

    def save(self, inputs: Sequence[str], outputs: Sequence[str], path: Path) -> None:
        """Writes the same model to a file that needs no other; above protobuf's limit its weights stand beside it.

        Raises:
            ModelError: as :meth:`extract`.
        """
        part = self._part(inputs, outputs)
        weights = [value.const_value for value in part.graph.initializers.values() if value.const_value is not None]
        if sum(weight.nbytes for weight in weights) > EMBEDDED_BYTES:
            ir.save(part, path, external_data=f"{path.name}.weights")
        else:
            ir.save(ir.external_data.load_to_model(part), path)

    def _part(self, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
        try:
            graph = ir.convenience.extract(self._model.graph, list(inputs), list(outputs))
        except ValueError as error:
            raise ModelError(
                f"cannot cut the ONNX model to {', '.join(inputs)} -> {', '.join(outputs)}: {error}"
            ) from error
        self._type_inputs(graph)
        part = ir.Model(graph, ir_version=self._model.ir_version)
        part.opset_imports.update(self._model.opset_imports)
        return part

    def _type_inputs(self, graph: ir.Graph) -> None:
        for value in graph.inputs:
            if value.type is None:
                raise ModelError(f"the type of tensor {value.name!r} is not known, so no part can begin with it")
