"""Datatype, shape and size of every tensor of an ONNX graph: inferred where that is possible, else measured.

graph --infer--> shapes with open sizes --example inputs--> infer again --what is still open--> run the example once
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from dnn_surgery.errors import ModelError
from dnn_surgery.model.onnx_reading import first_line, infer_shapes

Array = NDArray[Any]

# What an example has where the file leaves a size open: one frame, a picture's side, a sentence's length.
_BATCH, _SIDE, _LENGTH = 1, 224, 16

# Datatypes that travel: numpy's, and bfloat16. Sequences, strings and 4-bit integers stay inside a layer.
_DTYPES = {
    *("float16", "float32", "float64", "bool", "bfloat16"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


@dataclass(frozen=True, slots=True)
class Size:
    """A tensor that can travel: numpy's name of its datatype, its shape (None: open), its bytes in the example."""

    dtype: str
    shape: tuple[int | None, ...]
    size_bytes: int


def example_inputs(graph: ir.Graph) -> dict[str, Array]:
    """One input of every kind, the same on every machine.

    Raises:
        ModelError: an input is no tensor of numbers, or has no shape.
    """
    source = np.random.default_rng(0)
    return {str(value.name): _example(value, source) for value in graph.inputs}


def tensor_sizes(model: ir.Model, wanted: Sequence[ir.Value], example: Mapping[str, Array]) -> dict[str, Size]:
    """The tensors among `wanted` that can travel, by name.

    Raises:
        ModelError: the example does not run, or has to and there is no ONNX Runtime.
    """
    stated = {str(value.name): open_shape(value) for value in wanted}
    concrete = _concrete(model, example)
    found: dict[str, Size] = {}
    unknown = []
    for value in wanted:
        name = str(value.name)
        known = concrete.get(name)
        if known is None and _may_travel(value):
            unknown.append(name)
        elif known is not None and known.dtype in _DTYPES:
            found[name] = Size(known.dtype, _rank(stated[name], known.shape), known.size_bytes)
    for name, array in _measured(model, unknown, example).items():
        if array.dtype.name in _DTYPES:
            found[name] = Size(array.dtype.name, _rank(stated[name], (None,) * array.ndim), array.nbytes)
    return found


def open_shape(value: ir.Value) -> tuple[int | None, ...] | None:
    """The shape as inferred, None where a size is open; None altogether where not even the rank is known."""
    if value.shape is None:
        return None
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in value.shape)


def dtype_name(value: ir.Value) -> str | None:
    """The datatype as numpy calls it (or ``bfloat16``); None for what is no tensor of numbers."""
    if not isinstance(value.type, ir.TensorType):
        return None
    try:
        return str(value.type.dtype.numpy().name)
    except (TypeError, KeyError):
        return None


def _rank(stated: tuple[int | None, ...] | None, other: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """What was inferred for every input, or as many open sizes as the example has."""
    if stated is not None and len(stated) == len(other):
        return stated
    return (None,) * len(other)


def _may_travel(value: ir.Value) -> bool:
    return value.type is None or (isinstance(value.type, ir.TensorType) and dtype_name(value) in (None, *_DTYPES))


def _example(value: ir.Value, source: np.random.Generator) -> Array:
    dtype, shape = dtype_name(value), open_shape(value)
    if dtype not in _DTYPES or shape is None:
        raise ModelError(
            f"input {value.name!r} is {value.type} {value.shape}; a tensor of numbers with a rank is needed"
        )
    sizes = tuple(_open_size(shape, index) if size is None else size for index, size in enumerate(shape))
    if dtype == "uint8":
        return source.integers(0, 256, sizes).astype(np.uint8)
    if dtype == "bool":
        return np.ones(sizes, dtype=np.bool_)
    if "int" in dtype:
        return source.integers(0, 2, sizes).astype(dtype)
    numbers = (source.integers(0, 256, sizes) / 255).astype(np.float32)
    if dtype == "bfloat16":
        return (numbers.view(np.uint32) >> 16).astype(np.uint16)
    return numbers.astype(dtype)


def _open_size(shape: tuple[int | None, ...], index: int) -> int:
    if index == 0 and len(shape) > 1:
        return _BATCH
    return _SIDE if len(shape) == 4 else _LENGTH


def _concrete(model: ir.Model, example: Mapping[str, Array]) -> dict[str, Size]:
    """Sizes that follow from the example's shapes, for those tensors of which all sizes do."""
    if all(None not in (open_shape(value) or (None,)) for value in model.graph.inputs):
        fixed = model
    else:
        fixed = model.clone()
        for value in fixed.graph.inputs:
            value.shape = ir.Shape(example[str(value.name)].shape)
        infer_shapes(fixed)
    values = [value for node in fixed.graph for value in node.outputs] + list(fixed.graph.inputs)
    return {str(value.name): size for value in values if (size := _inferred(value)) is not None}


def _inferred(value: ir.Value) -> Size | None:
    dtype, shape = dtype_name(value), open_shape(value)
    if dtype is None or shape is None or None in shape:
        return None
    elements = int(np.prod([size for size in shape if size is not None], dtype=np.int64))
    return Size(dtype, shape, elements * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize))


def _measured(model: ir.Model, names: Collection[str], example: Mapping[str, Array]) -> dict[str, Array]:
    """These tensors as ONNX Runtime computes them from the example; those that are no arrays are left out."""
    if not names:
        return {}
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"the sizes of {len(names)} tensors depend on what flows through the model, such as {min(names)!r}, so it "
            "has to run once: pip install dnn-surgery[onnx-cpu], or the onnxruntime wheel of your device"
        ) from error
    outputs = _with_outputs(model, names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="dnn-surgery-") as folder:
        path = Path(folder) / "model.onnx"
        ir.save(outputs, path, external_data="weights.bin")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            made: Iterable[Any] = session.run(list(names), dict(example))
        except Exception as error:  # the runtime's errors have no common root
            shapes = {name: list(array.shape) for name, array in example.items()}
            raise ModelError(
                f"the model does not run on an example of {shapes} ({first_line(error)}): give input_shapes"
            ) from error
    return {name: value for name, value in zip(names, made, strict=True) if isinstance(value, np.ndarray)}


def _with_outputs(model: ir.Model, names: Collection[str]) -> ir.Model:
    copy = model.clone()
    values = {str(value.name): value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    return copy
