"""Real PyTorch architectures on ONNX Runtime: every cut of the small ones, several of the large ones."""

from __future__ import annotations

import pytest

from dnn_surgery.execution.onnx_engine import OnnxEngine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.tracing import trace
from tests.execution.architectures import ARCHITECTURES
from tests.execution.cuts import all_cuts, some_cuts, through_bytes

# Graphs of so few layers are cut everywhere.
SMALL = 12

QUICK = ("lstm", "vit")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.MonkeyPatch().setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
)
def test_cuts_agree_with_pytorch(name: str) -> None:
    module, inputs = ARCHITECTURES[name]()
    graph = trace(module, dict(inputs), name=name)
    with OnnxEngine(graph, threads=1) as engine:
        given, expected = through_bytes(engine.example()), engine.reference(graph.outputs)
        cuts = list(all_cuts(graph)) if len(graph.layers) <= SMALL else some_cuts(graph, 6)
        for edge in cuts:
            made = Tail(engine, edge)(through_bytes(Head(engine, edge)(given)))
            for output in graph.outputs:
                assert deviation(made[output], expected[output]) <= TOLERANCE, f"{output} at {edge[-1]}"
