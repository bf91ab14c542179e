"""A bundle: one file with all that an edge needs of a model. A zip archive without compression, never pickle.

    bundle.json   the graph: layers, tensors, names, picture, labels, postprocess; size and SHA-256 of the files below
    model.onnx    the operators, in the form that parts are extracted from
    weights.bin   the larger weights
    example.bin   the inputs that the graph was traced with, one behind the other

Nothing in it is believed: names are compared with these four, so no path can climb out; nothing is compressed, so
nothing grows; digests are checked as files are unpacked.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from dnn_surgery.errors import ModelError
from dnn_surgery.model.bundle import Contents, PackedFile, describe, restore
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_nodes import bodies
from dnn_surgery.model.onnx_program import MODEL_FILE, WEIGHTS_FILE, OnnxProgram

SUFFIX = ".bundle"
DESCRIPTION, EXAMPLE = "bundle.json", "example.bin"
MAX_DESCRIPTION_BYTES = 64 * 2**20
_FILES = (MODEL_FILE, WEIGHTS_FILE, EXAMPLE)
_CHUNK_BYTES = 2**20

# The same bytes whenever a bundle is made: the earliest time that a zip archive knows.
_TIME = (1980, 1, 1, 0, 0, 0)

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class BundleProgram(OnnxProgram):
    """The ONNX model of a bundle. `digest` names its whole content, `files` are what it is checked against."""

    digest: str = ""
    files: Mapping[str, PackedFile] | None = None

    def write(self, folder: Path) -> None:
        """Unpacks the model and its weights into `folder`.

        Raises:
            ModelError: they are not what was packed, or the model is none, or reads files of its own choice.
        """
        for name, file in (self.files or {}).items():
            if name != EXAMPLE:
                _unpack(self.path, name, file, folder / name)
        _check_model(self.path, folder)


def write_bundle(graph: ModelGraph, folder: Path, example: Mapping[str, Array], target: IO[bytes]) -> None:
    """Packs a graph, the model in `folder` and the example inputs into `target`."""
    arrays = [np.ascontiguousarray(example[name]).reshape(example[name].shape) for name in graph.inputs]
    packed = b"".join(array.tobytes() for array in arrays)
    paths = [path for name in (MODEL_FILE, WEIGHTS_FILE) if (path := folder / name).is_file()]
    files = {path.name: _measured(path) for path in paths}
    files[EXAMPLE] = PackedFile(len(packed), hashlib.sha256(packed).hexdigest())
    document = describe(graph, (array.shape for array in arrays), files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(DESCRIPTION, _TIME), json.dumps(document))
        for path in paths:
            entry = zipfile.ZipInfo(path.name, _TIME)
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(source, copy, _CHUNK_BYTES)
        archive.writestr(zipfile.ZipInfo(EXAMPLE, _TIME), packed)


def load_bundle(path: str | Path) -> ModelGraph:
    """The graph in a bundle; its weights are read, and their digests checked, when an engine first needs them.

    Raises:
        ModelError: the file is missing, damaged, or no bundle.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    with _archive(path) as archive:
        text = _read(archive, DESCRIPTION, MAX_DESCRIPTION_BYTES)
        try:
            contents = restore(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{DESCRIPTION} is no JSON") from error
        _check_files(archive, contents.files)
        packed = _read(archive, EXAMPLE, contents.files[EXAMPLE].size_bytes)
        if hashlib.sha256(packed).hexdigest() != contents.files[EXAMPLE].sha256:
            raise ModelError(f"its {EXAMPLE} is not what was packed")
        program = BundleProgram(
            path=path,
            operators=contents.operators,
            digests=contents.parameters,
            input_shapes={},
            example=_example(contents, packed),
            digest=hashlib.sha256(text).hexdigest(),
            files=contents.files,
        )
        return contents.graph(program)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong with it or in it is one line that names the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except ModelError as error:
        raise ModelError(f"{path} is no bundle that can be used: {error}") from error
    # zipfile raises all of these, depending on which byte is wrong.
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"cannot read {path}: it is truncated or damaged, or no bundle") from error


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    if name not in archive.namelist():
        raise ModelError(f"it holds no {name}")
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most_bytes:
        raise ModelError(f"its {name} is compressed, or larger than {most_bytes} bytes")
    return archive.read(info)


def _check_files(archive: zipfile.ZipFile, files: Mapping[str, PackedFile]) -> None:
    """Exactly what is described is there, under the four names that a bundle has, each once and uncompressed."""
    names = archive.namelist()
    if strange := [name for name in names if name not in (DESCRIPTION, *_FILES)]:
        raise ModelError(f"a bundle holds no {strange[0]!r:.80}")
    if sorted(names) != sorted((DESCRIPTION, *files)) or not {MODEL_FILE, EXAMPLE} <= files.keys():
        raise ModelError(f"it holds {', '.join(names)}, and describes {', '.join(files)}")
    for name, file in files.items():
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != file.size_bytes:
            raise ModelError(f"its {name} is compressed, or not of the {file.size_bytes} bytes that it should have")


def _example(contents: Contents, packed: bytes) -> dict[str, Array]:
    example, start = {}, 0
    for name, shape in zip(contents.said.inputs, contents.said.example_shapes, strict=True):
        dtype = contents.tensors[name].dtype
        kind = np.dtype("uint16" if dtype == "bfloat16" else dtype)
        count = math.prod(shape)
        if start + count * kind.itemsize > len(packed):
            raise ModelError(f"its {EXAMPLE} is too short for {name!r:.60}")
        example[name] = np.frombuffer(packed, kind, count, start).reshape(shape)
        start += count * kind.itemsize
    return example


def _measured(path: Path) -> PackedFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK_BYTES):
            digest.update(data)
    return PackedFile(path.stat().st_size, digest.hexdigest())


def _unpack(bundle: Path, name: str, file: PackedFile, target: Path) -> None:
    digest, size_bytes = hashlib.sha256(), 0
    with _archive(bundle) as archive, archive.open(name) as source, target.open("wb") as copy:
        while (data := source.read(_CHUNK_BYTES)) and size_bytes <= file.size_bytes:
            digest.update(data)
            copy.write(data)
            size_bytes += len(data)
        if digest.hexdigest() != file.sha256:
            raise ModelError(f"its {name} is not what was packed")


def _check_model(bundle: Path, folder: Path) -> None:
    """The model can be read, and no tensor in it stands in another file than the bundle's own weights."""
    try:
        model = ir.load(folder / MODEL_FILE)
        outside = [
            tensor
            for tensor in _tensors(model)
            if isinstance(tensor, ir.ExternalTensor) and str(tensor.location) != WEIGHTS_FILE
        ]
    except Exception as error:  # protobuf's and the reader's own errors have no common root
        raise ModelError(f"{bundle} is no bundle that can be used: its {MODEL_FILE} is no ONNX model") from error
    if outside:
        raise ModelError(
            f"{bundle} is refused: its {MODEL_FILE} reads {str(outside[0].location)!r:.80}, which is not part of it"
        )


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor of the model: weights and attributes, in functions and in bodies too."""
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    for graph in graphs:  # grows while it is walked through
        yield from (value.const_value for value in graph.initializers.values() if value.const_value is not None)
        for node in graph:
            graphs.extend(bodies(node))
            for attribute in node.attributes.values():
                if attribute.type is ir.AttributeType.TENSOR:
                    yield attribute.as_tensor()
                elif attribute.type is ir.AttributeType.TENSORS:
                    yield from attribute.as_tensors()
