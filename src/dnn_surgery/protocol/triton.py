"""A model repository as Triton and KServe read it: the tails of a model, each a model of its own, and the whole.

<model>__<cut>/config.pbtxt  <model>__<cut>/1/model.onnx  <model>/config.pbtxt  <model>/1/model.onnx
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dnn_surgery.errors import InputError
from dnn_surgery.execution.export_folder import Cut, Layout
from dnn_surgery.execution.part_files import PartFile
from dnn_surgery.execution.part_names import tail_name
from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_program import MODEL_FILE
from dnn_surgery.protocol.datatypes import to_datatype

CONFIG_FILE = "config.pbtxt"


def repository_layout(graph: ModelGraph) -> Layout:
    """Where the files of a repository go; the edge runs its heads itself, so there are none."""

    def tail(edge: Cut) -> str:
        tensors = cut_tensors(graph, edge)
        if not tensors.remaining:
            raise InputError(f"the cut after {edge[-1]!r} leaves no layer to the server, so it needs no tail there")
        return _model_path(tail_name(graph, tensors.sent, tensors.remaining))

    def configure(part: PartFile) -> None:
        home = part.path.parents[1]
        (home / CONFIG_FILE).write_text(model_config(graph, home.name, part.inputs, part.outputs), encoding="utf-8")

    return Layout(_model_path(tail_name(graph, graph.inputs, graph.outputs)), tail, wrote=configure)


def model_config(graph: ModelGraph, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """The text of a ``config.pbtxt``.

    ``max_batch_size`` is 0, so that the dims are all there are: a batch that varies is the -1 in front, one that the
    graph was made for a number. (Above 0, Triton would take every first dimension for a batch of frames, which an
    inner tensor's need not be.)
    """
    lines = [f"name: {_quoted(name)}", 'platform: "onnxruntime_onnx"', "max_batch_size: 0"]
    for kind, names in (("input", inputs), ("output", outputs)):
        lines += [f"{kind} [", ",\n".join(_tensor(graph, tensor) for tensor in names), "]"]
    return "\n".join(lines) + "\n"


def _tensor(graph: ModelGraph, name: str) -> str:
    tensor = graph.tensors[name]
    dims = ", ".join("-1" if size is None else str(size) for size in tensor.shape)
    # Triton knows no tensor without dimensions: a scalar travels as [1].
    shape = f"dims: [ {dims} ]" if tensor.shape else "dims: [ 1 ]\n    reshape: { shape: [ ] }"
    data_type = f"TYPE_{to_datatype(tensor.dtype, name)}"
    return f"  {{\n    name: {_quoted(name)}\n    data_type: {data_type}\n    {shape}\n  }}"


def _quoted(text: str) -> str:
    # Protobuf's text format has JSON's escapes, except those of characters beyond ASCII, which may stand as they are.
    return json.dumps(text, ensure_ascii=False)


def _model_path(name: str) -> str:
    return f"{name}/1/{MODEL_FILE}"
