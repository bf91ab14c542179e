"""ONNX files become graphs: names, roles, shapes, fingerprint; and each bad file is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from tests.onnx_files import branching_model, small_model


def saved(model: onnx.ModelProto, folder: Path, **options: Any) -> str:
    path = folder / "model.onnx"
    onnx.save(model, path, **options)
    return str(path)


def load(model: onnx.ModelProto, folder: Path) -> ModelGraph:
    return load_model(saved(model, folder))


def test_names_shapes_and_weights_are_the_files(tmp_path: Path) -> None:
    graph = load(small_model(), tmp_path)
    assert (graph.name, graph.inputs, graph.outputs) == ("model", ("x",), ("left", "scaled"))
    assert [layer.name for layer in graph.layers] == ["x", "below", "above", "scaling"]
    above = graph.layer["above"]
    assert above.inputs == ("hidden",)
    assert above.outputs == ("left", "right")
    assert above.param_bytes == 16 * 6 * 4 + 2 * 8
    # The constant subgraph is no layer; its weight belongs to the layer that reads it.
    assert graph.layer["scaling"].parameters == ("log_scale",)
    assert graph.tensors["hidden"].shape == (1, 16)
    assert graph.tensors["hidden"].size_bytes == 64


def test_open_sizes_are_none_until_they_are_fixed(tmp_path: Path) -> None:
    path = saved(small_model(batch="batch"), tmp_path)
    assert load_model(path).tensors["hidden"].shape == (None, 16)
    fixed = load_model(path, input_shapes={"x": (3, 8)})
    assert fixed.tensors["hidden"].shape == (3, 16)
    assert fixed.tensors["hidden"].size_bytes == 3 * 64
    with pytest.raises(ModelError, match=r"input 'x' cannot have shape \[3, 9\]"):
        load_model(path, input_shapes={"x": (3, 9)})
    with pytest.raises(ModelError, match="has no input 'y'; it has: x"):
        load_model(path, input_shapes={"y": (3, 9)})


def test_the_fingerprint_covers_weights_operators_and_wiring(tmp_path: Path) -> None:
    first = load(small_model(), tmp_path).fingerprint
    assert load(small_model(), tmp_path).fingerprint == first
    changed = small_model()
    weight = numpy_helper.to_array(changed.graph.initializer[2]).copy()
    weight[0] += 1
    changed.graph.initializer[2].CopyFrom(numpy_helper.from_array(weight, "log_scale"))
    other = small_model()
    other.graph.node[4].op_type = "Sqrt"
    assert len({first, load(changed, tmp_path).fingerprint, load(other, tmp_path).fingerprint}) == 3


def test_the_fingerprint_covers_the_bodies_of_control_flow(tmp_path: Path) -> None:
    first = load(branching_model(), tmp_path).fingerprint
    other = branching_model()
    other.graph.node[3].attribute[0].g.node[0].op_type = "Sqrt"
    assert load(other, tmp_path).fingerprint != first


def test_what_a_branch_captures_is_an_input_of_its_layer(tmp_path: Path) -> None:
    graph = load(branching_model(), tmp_path)
    assert "hidden" in graph.layer["choice"].inputs
    assert {"chosen", "hidden"} <= set(graph.layer["loop"].inputs)


def test_weights_may_lie_in_another_file(tmp_path: Path) -> None:
    inside = load(small_model(), tmp_path).fingerprint
    path = saved(small_model(), tmp_path, save_as_external_data=True, location="data.bin", size_threshold=0)
    assert load_model(path).fingerprint == inside
    (tmp_path / "data.bin").write_bytes((tmp_path / "data.bin").read_bytes()[:100])
    with pytest.raises(ModelError, match=r"external data file data.bin is too short"):
        load_model(path)
    (tmp_path / "data.bin").unlink()
    with pytest.raises(ModelError, match=r"external data file data.bin is missing"):
        load_model(path)


def test_bad_files_are_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"

    def message() -> str:
        with pytest.raises(ModelError) as caught:
            load_model(str(path))
        text = str(caught.value)
        assert "bad.onnx" in text
        assert "\n" not in text
        return text

    assert "no model file" in message()
    for content in (b"", b"not a model at all", small_model().SerializeToString()[:200], bytes(range(256)) * 8):
        path.write_bytes(content)
        assert "truncated, or no ONNX file" in message()
    model = small_model()
    model.opset_import[0].version = 900
    onnx.save(model, path)
    assert "needs opset 900; the installed onnx" in message()
    model = small_model()
    model.graph.node[1].op_type = "Relo"
    onnx.save(model, path)
    assert "has no operator 'Relo'; did you mean 'Relu'" in message()
    model = small_model()
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    assert "unknown domain 'com.example'" in message()
    model = small_model()
    model.graph.node[1].op_type = "RandomNormalLike"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="draws random numbers"):
        load_model(str(path))


def test_an_onnx_model_needs_no_torch(tmp_path: Path) -> None:
    path = saved(small_model(), tmp_path)
    script = f"""
import sys
import numpy as np
from dnn_surgery import load_model, make_engine, split
graph = load_model({path!r})
head, tail = split(graph, cut="below", engine=make_engine(graph, threads=1))
print(sorted(tail(head({{"x": np.ones((1, 8), np.float32)}}))))
found = [name for name in sys.modules if name.split(".")[0] in ("torch", "onnxscript")]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "['left', 'scaled']\n"), done.stderr


def test_a_batch_may_vary_when_the_file_says_so(tmp_path: Path) -> None:
    from dnn_surgery.execution.engines import make_engine

    graph = load(small_model(batch="batch"), tmp_path)
    part = make_engine(graph, threads=1).part(graph.inputs, graph.outputs)
    assert part({"x": np.ones((5, 8), np.float32)})["scaled"].shape == (5, 4)
