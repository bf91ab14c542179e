"""ONNX Runtime over a real socket: an ONNX file served and cut, and another engine on each side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from dnn_surgery.edge.connection import connect
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import Link
from tests.cli.serving import FACTORY, serving
from tests.onnx_files import small_model

LINK = Link(bandwidth_bps=1e7, rtt_s=0.001)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_an_onnx_file_is_served_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(small_model(), path)
    graph = load_model(str(path))
    x = {"x": np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)}
    engine = make_engine(graph, threads=1)
    expected = engine.part(graph.inputs, graph.outputs)(x)
    with serving(str(path), "--threads", "1", "--port", "0", "--json") as server:
        for cut in ("x", "below"):
            with connect(graph, server.event["address"], cut=cut, link=LINK, engine=engine) as edge:
                result = edge(x)
            assert (result.finished_by, result.failure) == ("cloud", None)
            for name in graph.outputs:
                assert deviation(result.outputs[name], expected[name]) <= TOLERANCE


def test_torch_at_the_edge_and_onnx_runtime_in_the_cloud() -> None:
    graph = load_model(FACTORY, trust_model=True)
    torch_engine = make_engine(graph, device="cpu", threads=1)
    example = {name: torch_engine.to_array(value) for name, value in torch_engine.example().items()}
    expected = torch_engine.part(graph.inputs, graph.outputs)(example)
    border = next(layer.name for layer in graph.layers if layer.inputs)
    options = ("--trust-model", "--engine", "onnxruntime", "--threads", "1", "--port", "0", "--json")
    with serving(FACTORY, *options) as server:
        address = server.event["address"]
        with connect(graph, address, cut=border, link=LINK, engine=torch_engine) as edge:
            results = [edge(example) for _ in range(40)]
        assert results[-1].finished_by == "cloud", results[-1].failure
        for name in graph.outputs:
            assert deviation(results[-1].outputs[name], expected[name]) <= TOLERANCE
