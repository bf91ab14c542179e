"""A graph as plain data, for a device that has neither the model's code nor its weights file.

ModelGraph --describe--> JSON --restore--> ModelGraph of the same fingerprint, with a program of ONNX
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import Layer, ModelGraph, Picture, Program, Tensor
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.records import from_record, to_record, typed

SCHEMA = "dnn-surgery/bundle/1"

# What arrays hold; anything else is no tensor that could travel.
_DTYPES = frozenset(
    {
        *("bool", "float16", "float32", "float64", "bfloat16"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    }
)
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file inside a bundle: its size and the hex SHA-256 of its bytes."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """What a bundle says of itself. `operators` and `parameters` are hex digests, from which the fingerprint follows.

    `example_shapes` are those of the inputs that the graph was traced with, in the order of `inputs`.
    """

    schema: str
    fingerprint: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: str
    example_shapes: tuple[tuple[int, ...], ...]
    notices: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None


_LISTS = {"layers": Layer, "tensors": Tensor}
_MAPS = ("parameters", "files")
_OPTIONAL = {"picture": Picture, "postprocess": Postprocess}


def describe(
    graph: ModelGraph, example_shapes: Iterable[tuple[int, ...]], files: Mapping[str, PackedFile]
) -> dict[str, Any]:
    """The graph as a document that JSON can hold."""
    program = graph.program
    parameters = sorted({name for layer in graph.layers for name in layer.parameters})
    said = Description(
        schema=SCHEMA,
        fingerprint=graph.fingerprint,
        name=graph.name,
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=program.operators_digest().hex(),
        example_shapes=tuple(example_shapes),
        notices=graph.notices,
        labels=graph.labels,
    )
    return {
        **to_record(said),
        "layers": [to_record(layer) for layer in graph.layers],
        "tensors": [to_record(tensor) for tensor in graph.tensors.values()],
        "picture": None if graph.picture is None else to_record(graph.picture),
        "postprocess": None if graph.postprocess is None else to_record(graph.postprocess),
        "parameters": {name: program.parameter_digest(name).hex() for name in parameters},
        "files": {name: to_record(file) for name, file in files.items()},
    }


@dataclass(frozen=True)
class Contents:
    """A document, read and checked as far as it can be without the files."""

    said: Description
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Tensor]
    picture: Picture | None
    postprocess: Postprocess | None
    operators: bytes
    parameters: Mapping[str, bytes]
    files: Mapping[str, PackedFile]

    def graph(self, program: Program) -> ModelGraph:
        """The graph, with what runs it.

        Raises:
            ModelError: it does not have the fingerprint that it says.
        """
        said = self.said
        graph = ModelGraph(
            name=said.name,
            layers=self.layers,
            tensors=self.tensors,
            inputs=said.inputs,
            outputs=said.outputs,
            program=program,
            picture=self.picture,
            labels=said.labels,
            notices=said.notices,
            postprocess=self.postprocess,
        )
        if graph.fingerprint != said.fingerprint:
            raise ModelError(f"{said.name} is not the model whose fingerprint it states ({said.fingerprint:.12})")
        return graph


def restore(document: Any) -> Contents:
    """What `describe` wrote.

    Raises:
        ModelError: a key is missing, unknown or of another type, or the graph is none.
    """
    if not isinstance(document, dict):
        raise ModelError("the description is no object")
    if document.get("schema") != SCHEMA:
        raise ModelError(f"schema is {document.get('schema')!r:.60}, expected {SCHEMA!r}")
    rest = {key: value for key, value in document.items() if key not in (*_LISTS, *_MAPS, *_OPTIONAL)}
    said = from_record(Description, rest, "description")
    lists: dict[str, list[Any]] = {}
    for key, kind in _LISTS.items():
        records = document.get(key)
        if not isinstance(records, list):
            raise ModelError(f"description.{key} is no list")
        lists[key] = [from_record(kind, record, f"{key}[{index}]") for index, record in enumerate(records)]
    optional: dict[str, Any] = {
        key: None if document.get(key) is None else from_record(kind, document[key], key)
        for key, kind in _OPTIONAL.items()
    }
    maps = {key: document.get(key) for key in _MAPS}
    for key, value in maps.items():
        if not isinstance(value, dict):
            raise ModelError(f"description.{key} is no object")
    found = Contents(
        said=said,
        layers=tuple(lists["layers"]),
        tensors={tensor.name: tensor for tensor in lists["tensors"]},
        picture=optional["picture"],
        postprocess=optional["postprocess"],
        operators=_digest(said.operators, "operators"),
        parameters={name: _digest(value, f"parameters.{name}") for name, value in (maps["parameters"] or {}).items()},
        files={name: from_record(PackedFile, value, f"files.{name}") for name, value in (maps["files"] or {}).items()},
    )
    if len(found.tensors) < len(lists["tensors"]):
        raise ModelError("a tensor is described twice")
    _check_wiring(found)
    _check_tensors(found)
    return found


def _digest(value: Any, where: str) -> bytes:
    text = typed(str, value, where)
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise ModelError(f"{where} is no SHA-256 digest")
    return digest


def _check_wiring(found: Contents) -> None:
    """Layers stand in topological order, each tensor is made once, and inputs and outputs are among what is made."""
    made: dict[str, Layer] = {}
    names = {layer.name for layer in found.layers}
    if len(names) < len(found.layers):
        raise ModelError("two layers have one name")
    for layer in found.layers:
        if strange := [name for name in layer.inputs if name not in made]:
            raise ModelError(f"layer {layer.name!r:.60} reads {strange[0]!r:.60}, which no layer before it makes")
        if strange := [name for name in layer.outputs if name in made or name not in found.tensors]:
            raise ModelError(f"layer {layer.name!r:.60} makes {strange[0]!r:.60} again, or without a description")
        if strange := [name for name in layer.parameters if name not in found.parameters]:
            raise ModelError(f"layer {layer.name!r:.60} reads the weight {strange[0]!r:.60}, which has no digest")
        made.update(dict.fromkeys(layer.outputs, layer))
    given = [name for name, layer in made.items() if not layer.inputs]
    said = found.said
    if set(said.inputs) != set(given) or len(set(said.inputs)) < len(said.inputs) or not said.inputs:
        raise ModelError("the inputs are not the tensors of the layers that read nothing")
    if not said.outputs or not set(said.outputs) <= made.keys() or len(set(said.outputs)) < len(said.outputs):
        raise ModelError("the outputs are not tensors that layers make, each once")
    if found.tensors.keys() != made.keys():
        raise ModelError("tensors are described that no layer makes")


def _check_tensors(found: Contents) -> None:
    for tensor in found.tensors.values():
        if tensor.dtype not in _DTYPES or tensor.size_bytes < 0 or any((size or 0) < 0 for size in tensor.shape):
            raise ModelError(f"tensor {tensor.name!r:.60} cannot be {tensor.dtype!r:.20} {list(tensor.shape)!r:.60}")
    shapes = found.said.example_shapes
    if len(shapes) != len(found.said.inputs):
        raise ModelError("the example has not one shape for each input")
    for name, shape in zip(found.said.inputs, shapes, strict=True):
        expected = found.tensors[name].shape
        if len(shape) != len(expected) or any(
            size < 0 or wanted not in (None, size) for size, wanted in zip(shape, expected, strict=True)
        ):
            raise ModelError(f"the example of {name!r:.60} has shape {list(shape)!r:.60}")
    picture = found.picture
    if picture is None:
        return
    sides = found.tensors[picture.tensor].shape if picture.tensor in found.said.inputs else ()
    if len(sides) != 4 or sides[1:] != (picture.height, picture.width, 3):
        raise ModelError(f"the picture {picture.tensor!r:.60} is no input of {picture.height} x {picture.width}")
