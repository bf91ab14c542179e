"""Makes bundles of graphs, whatever front end they come from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

from dnn_surgery.errors import InputError
from dnn_surgery.execution.onnx_folder import onnx_folder
from dnn_surgery.execution.onnx_reference import make_reference
from dnn_surgery.execution.onnx_source import PartSource
from dnn_surgery.execution.part_files import PartFiles
from dnn_surgery.model.bundle_file import SUFFIX, load_bundle, write_bundle
from dnn_surgery.model.graph import ModelGraph


def pack(graph: ModelGraph, target: IO[bytes]) -> None:
    """Writes the bundle of a graph.

    Raises:
        InputError: the graph has tensors that ONNX Runtime does not take.
        ModelError: the graph cannot be exported, or the cache cannot be written.
    """
    folder = onnx_folder(graph)
    example = make_reference(graph, PartSource(folder), threads=1)(graph.inputs)
    write_bundle(graph, folder, example, target)


def export_bundle(graph: ModelGraph, path: Path, *, threads: int | None = None) -> float:
    """Writes the bundle of a graph to a new file, reads it back and runs it.

    Returns:
        The largest difference from the graph itself, relative to a tensor's range.

    Raises:
        InputError: the file exists, has another suffix, or cannot be written.
        ModelError: the graph cannot be exported, or the bundle is not what the graph is.
    """
    check_new_bundle(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as home:
            unfinished = Path(home) / path.name
            with unfinished.open("wb") as target:
                pack(graph, target)
            packed = PartFiles(load_bundle(unfinished), threads=threads)
            # By the operators of the graph itself, not by those that were packed.
            found = PartFiles(graph, threads=threads).check(packed.whole(Path(home) / "model.onnx"))
            unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return found


def check_new_bundle(path: Path) -> None:
    """Raises:
    InputError: the file exists, or is not named as bundles are.
    """
    if path.suffix != SUFFIX:
        raise InputError(f"a bundle's name ends with {SUFFIX}, which {path} does not")
    if path.exists():
        raise InputError(f"{path} exists already: name a new file with -o")
