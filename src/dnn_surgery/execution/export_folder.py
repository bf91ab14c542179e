"""A folder of exported parts: written under another name, checked, described in a manifest, and then put in place.

heads/<cut>.onnx  tails/<cut>.onnx  model.onnx  manifest.json
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn_surgery.errors import InputError
from dnn_surgery.execution.part_files import PartFile, PartFiles
from dnn_surgery.execution.part_names import cut_label
from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.execution.tolerance import TOLERANCE
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import MODEL_FILE

SCHEMA = "dnn-surgery/export/1"
MANIFEST = "manifest.json"

Cut = tuple[str, ...]
"""Names of the layers at the edge."""


@dataclass(frozen=True)
class ExportedCut:
    """One cut as it was written; `deviation` is its largest difference from the unsplit graph."""

    label: str
    edge: Cut
    head: PartFile | None
    tail: PartFile | None
    deviation: float


Progress = Callable[[ExportedCut], None]


@dataclass(frozen=True)
class Layout:
    """Where files go, relative to the folder; `head` is None where heads are not wanted. `wrote` is told of each."""

    whole: str
    tail: Callable[[Cut], str]
    head: Callable[[Cut], str] | None = None
    wrote: Callable[[PartFile], None] = lambda _: None


def plain_layout(graph: ModelGraph) -> Layout:
    """``model.onnx``, ``heads/<cut>.onnx`` and ``tails/<cut>.onnx``."""
    return Layout(
        whole=MODEL_FILE,
        tail=lambda edge: f"tails/{cut_label(graph, edge)}.onnx",
        head=lambda edge: f"heads/{cut_label(graph, edge)}.onnx",
    )


def export_cuts(
    graph: ModelGraph,
    cuts: Sequence[Cut],
    folder: Path,
    layout: Layout,
    *,
    threads: int | None = None,
    progress: Progress = lambda _: None,
) -> float:
    """Writes the whole model, and heads and tails of cuts, to `folder`; `progress` is told of each cut.

    Returns:
        The largest difference from the unsplit graph, relative to a tensor's range.

    Raises:
        InputError: `folder` has something in it already, or cannot be written.
        ModelError: a part cannot be exported, or is not what the unsplit graph is.
    """
    with new_folder(folder) as unfinished:
        parts = PartFiles(graph, threads=threads)
        whole = parts.whole(unfinished / layout.whole)
        layout.wrote(whole)
        deviations, written = [parts.check(whole)], []
        for edge in cuts:
            head = parts.head(edge, unfinished / layout.head(edge)) if layout.head is not None else None
            path = unfinished / layout.tail(edge)
            tail = whole if path == whole.path else parts.tail(edge, path)
            if tail is not None:
                layout.wrote(tail)
            cut = ExportedCut(cut_label(graph, edge), edge, head, tail, parts.check(head, tail))
            deviations.append(cut.deviation)
            written.append(cut)
            progress(cut)
        _write_manifest(graph, unfinished, whole, written)
    return max(deviations)


def check_new(folder: Path) -> None:
    """Raises:
    InputError: there is something at `folder`, other than an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty: name a new folder with -o")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when the block ends well and is removed otherwise.

    Raises:
        InputError: there is something at `folder` already, or it cannot be written.
    """
    check_new(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)
            if folder.is_dir():
                folder.rmdir()
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error


def _write_manifest(graph: ModelGraph, folder: Path, whole: PartFile, cuts: Sequence[ExportedCut]) -> None:
    """Says what lies in `folder`: names, shapes, datatypes, and for each cut its layers, tensors and files."""
    document = {
        "schema": SCHEMA,
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "tolerance": TOLERANCE,
        "inputs": [_tensor(graph, name) for name in graph.inputs],
        "outputs": [_tensor(graph, name) for name in graph.outputs],
        "whole": _part(whole, folder),
        "cuts": [_cut(graph, cut, folder) for cut in cuts],
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _cut(graph: ModelGraph, cut: ExportedCut, folder: Path) -> dict[str, Any]:
    tensors = cut_tensors(graph, cut.edge)
    return {
        "cut": cut.label,
        "edge": list(cut.edge),
        "sent": [_tensor(graph, name) for name in tensors.sent],
        "finished": list(tensors.finished),
        "head": None if cut.head is None else _part(cut.head, folder),
        "tail": None if cut.tail is None else _part(cut.tail, folder),
        "deviation": cut.deviation,
    }


def _part(part: PartFile, folder: Path) -> dict[str, Any]:
    return {
        "file": part.path.relative_to(folder).as_posix(),
        "inputs": list(part.inputs),
        "outputs": list(part.outputs),
    }


def _tensor(graph: ModelGraph, name: str) -> dict[str, Any]:
    """Sizes that vary are null."""
    tensor = graph.tensors[name]
    return {"name": name, "dtype": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.size_bytes}
