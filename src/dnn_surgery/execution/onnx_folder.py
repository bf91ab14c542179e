"""The ONNX form of a graph on disk, from which every part is made: of a file, of a bundle, or exported from PyTorch."""

from __future__ import annotations

from pathlib import Path

from dnn_surgery.errors import InputError
from dnn_surgery.execution.model_cache import cached
from dnn_surgery.model.bundle_file import BundleProgram
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import OnnxProgram


def onnx_folder(graph: ModelGraph) -> Path:
    """The folder in the cache that holds the graph's model, written now if it is not there yet.

    Raises:
        InputError: the graph has tensors that ONNX Runtime does not take.
        ModelError: the graph cannot be exported, or the cache cannot be written.
    """
    if strange := [name for name, tensor in graph.tensors.items() if tensor.dtype == "bfloat16"]:
        raise InputError(f"ONNX Runtime takes no bfloat16 arrays, and {strange[0]!r} is one: use --engine torch")
    program = graph.program
    # A bundle only says which fingerprint it has; kept under its content, it can never stand in for another model.
    key = program.digest if isinstance(program, BundleProgram) else graph.fingerprint

    def write(folder: Path) -> None:
        if isinstance(program, OnnxProgram):
            program.write(folder)
            return
        from dnn_surgery.execution.onnx_export import export

        export(graph, folder)

    return cached(key, write)
