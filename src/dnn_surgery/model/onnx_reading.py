"""Reads an ONNX file into one plain form, and says in one line what is wrong with a bad one.

file --read--> checked --functions inlined, constants lifted, names given--> model whose every value has a name
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import near
from dnn_surgery.model.onnx_size_names import merge_names

# Operators that every ONNX Runtime brings beside the standard ones; whether it knows a certain one, it says itself.
_RUNTIME_DOMAINS = ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "org.pytorch.aten")

# Shape inference reads shapes, axes and the like, and reads them from the model alone.
_INLINE_BYTES = 1024

# What exporters call a size that they do not know is no name: two of these need not be equal.
_A_NAME = re.compile(r"(?=.*[A-Za-z])(?!(?:unk|unknown|none|any|dim|dynamic)$)[\w.\-]+", re.IGNORECASE)

Shapes = Mapping[str, Sequence[int]]


def read_model(path: Path, *, input_shapes: Shapes | None = None) -> ir.Model:
    """The model in a file: functions inlined, constants as initialisers, every value named, shapes inferred.

    Args:
        path: an ``.onnx`` file; its external data lie where it says.
        input_shapes: sizes that take the place of those that the file leaves open, by input.

    Raises:
        ModelError: the file is missing, damaged, no ONNX, newer than the installed onnx, has unknown operators, lacks
            its external data, or has other inputs than `input_shapes`.
    """
    model = _parse(path)
    _check_opsets(model, path)
    _check_operators(model, path)
    _check_external_data(model, path)
    try:
        model = _normalised(model)
    except Exception as error:  # a file may be wrong in ways that only the passes notice
        raise ModelError(f"{path}: {first_line(error)}") from error
    _set_input_shapes(model, input_shapes or {}, path)
    _name_open_sizes(model.graph)
    infer_shapes(model)
    return model


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


def all_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Every node, those inside control flow too."""
    yield from ir.traversal.RecursiveGraphIterator(graph)


def infer_shapes(model: ir.Model) -> None:
    """Infers shapes and types anew from those of the inputs; what cannot be inferred has none."""
    for node in all_nodes(model.graph):
        for value in node.outputs:
            value.shape = None
    # The pass logs a traceback for what it cannot infer; a tensor without a shape is measured later.
    logger = logging.getLogger("onnx_ir.passes.common.shape_inference")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    finally:
        logger.disabled = was_disabled
    merge_names(model.graph)


def _parse(path: Path) -> ir.Model:
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    try:
        model = ir.load(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's and the reader's own errors have no common root
        raise ModelError(f"cannot read {path}: it is truncated, or no ONNX file") from error
    # Protobuf takes any empty and much random data for a message without known fields.
    if not model.graph.outputs or not model.opset_imports:
        raise ModelError(f"cannot read {path}: it is truncated, or no ONNX file (it has no outputs or no opset)")
    return model


def _check_opsets(model: ir.Model, path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    version = model.opset_imports.get("", 1)
    if not 1 <= version <= newest:
        raise ModelError(f"{path} needs opset {version}; the installed onnx {onnx.__version__} knows 1 to {newest}")


def _check_operators(model: ir.Model, path: Path) -> None:
    functions = {(function.domain, function.name) for function in model.functions.values()}
    known = {schema.domain for schema in onnx.defs.get_all_schemas()}
    for node in all_nodes(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in functions or domain in _RUNTIME_DOMAINS:
            continue
        if domain not in known:
            raise ModelError(f"{path}: operator {node.op_type} is of the unknown domain {domain!r}")
        version = model.opset_imports.get(node.domain, model.opset_imports.get(domain, 1))
        try:
            onnx.defs.get_schema(node.op_type, version, domain)
        except onnx.defs.SchemaError as error:
            names = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == domain}
            hint = "" if node.op_type in names else near(node.op_type, names)
            raise ModelError(f"{path}: opset {version} has no operator {node.op_type!r}{hint}") from error


def _check_external_data(model: ir.Model, path: Path) -> None:
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        data = Path(tensor.path)
        if not data.is_file():
            raise ModelError(f"{path}: its external data file {tensor.location} is missing")
        if data.stat().st_size < (tensor.offset or 0) + (tensor.length or tensor.nbytes):
            raise ModelError(f"{path}: its external data file {tensor.location} is too short for {tensor.name}")
        try:
            array = tensor.numpy()
        except (ValueError, OSError, TypeError) as error:
            raise ModelError(f"{path}: external data of {tensor.name}: {first_line(error)}") from error
        if tensor.nbytes <= _INLINE_BYTES:
            value.const_value = ir.tensor(array.copy(), dtype=tensor.dtype, name=tensor.name)
        del array
        tensor.release()


def _normalised(model: ir.Model) -> ir.Model:
    sequence = ir.passes.Sequential(
        passes.InlinePass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.RemoveInitializersFromInputsPass(),
        passes.NameFixPass(),
        passes.TopologicalSortPass(),
        passes.ClearMetadataAndDocStringPass(),
    )
    return sequence(model).model


def _set_input_shapes(model: ir.Model, shapes: Shapes, path: Path) -> None:
    inputs = {str(value.name): value for value in model.graph.inputs}
    if unknown := [name for name in shapes if name not in inputs]:
        raise ModelError(f"{path} has no input {unknown[0]!r}{near(unknown[0], inputs)}; it has: {', '.join(inputs)}")
    for name, value in inputs.items():
        if name not in shapes:
            continue
        sizes = tuple(shapes[name])
        stated = list(value.shape) if value.shape is not None else [None] * len(sizes)
        fits = len(stated) == len(sizes) and all(
            not isinstance(size, int) or size <= 0 or size == given for size, given in zip(stated, sizes, strict=True)
        )
        if not fits:
            raise ModelError(f"{path}: input {name!r} cannot have shape {list(sizes)}, the file says {stated}")
        value.shape = ir.Shape(sizes)


def _name_open_sizes(graph: ir.Graph) -> None:
    """Gives every open size of the inputs a name, an own one where the file's is none."""
    for value in graph.inputs:
        if value.shape is None:
            continue
        stated = [None if isinstance(size, int) else size.value for size in value.shape]
        sizes: list[int | str] = []
        for place, size in enumerate(value.shape):
            name = stated[place]
            if isinstance(size, int) and size > 0:
                sizes.append(size)
            elif name is not None and _A_NAME.fullmatch(name) and stated.count(name) == 1:
                sizes.append(name)
            else:
                sizes.append(f"{value.name}.{place}")
        value.shape = ir.Shape(sizes)
