"""Models of parts, extracted from a model in the cache by onnx_ir; the weights stay in the cache's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.onnx_session import runtime
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
        self._values: dict[str, Any] = {}
        try:
            self._model = ir.load(folder / MODEL_FILE)
        except Exception as error:  # protobuf's and the reader's own errors have no common root
            raise ModelError(f"the cache entry {folder} is damaged: remove it") from error

    def extract(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """:meth:`model`, serialised."""
        return serialised(self.model(inputs, outputs))

    def model(self, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
        """The model that computes `outputs` from `inputs`; it names the weights' file, relative to `folder`.

        Raises:
            ModelError: the model needs more than `inputs`, such as a size of a tensor that is not given.
        """
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

    def save(self, inputs: Sequence[str], outputs: Sequence[str], path: Path) -> None:
        """Writes :meth:`model` to a file that needs no other; above protobuf's limit its weights stand beside it."""
        part = self.model(inputs, outputs)
        weights = [value.const_value for value in part.graph.initializers.values() if value.const_value is not None]
        if sum(weight.nbytes for weight in weights) > EMBEDDED_BYTES:
            ir.save(part, path, external_data=f"{path.name}.weights")
        else:
            ir.save(ir.external_data.load_to_model(part), path)

    def mapped(self, model: ir.Model, *, more: bool = True) -> dict[str, Any]:
        """The large weights of a part as ONNX Runtime's values, mapped from the file once for all sessions.

        Without `more` only those that are mapped already: what is used once shall not stay in memory.
        """
        found = {}
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if not isinstance(tensor, ir.ExternalTensor) or not (more or name in self._values):
                continue
            if name not in self._values:
                where = {"dtype": tensor.dtype.numpy(), "offset": tensor.offset or 0, "shape": tuple(tensor.shape)}
                array = np.memmap(self.folder / tensor.location, mode="r", **where)  # type: ignore[call-overload]
                self._values[name] = runtime().OrtValue.ortvalue_from_numpy(array)
            found[name] = self._values[name]
        return found

    def _type_inputs(self, graph: ir.Graph) -> None:
        for value in graph.inputs:
            if value.type is None:
                raise ModelError(f"the type of tensor {value.name!r} is not known, so no part can begin with it")


def serialised(model: ir.Model) -> bytes:
    """A model as ONNX Runtime takes it."""
    return ir.serde.serialize_model(model).SerializeToString()
