"""ONNX Runtime through this project beside ONNX Runtime alone, on the same file: one thread, no network.

The file is what a user exports. Alone: a session with one thread and everything else as it comes. As a chain: at the
best cut that lies at a border of the chain.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.exported import export_network
from benchmarks.figure import Figure, interleaved, ratio
from benchmarks.overhead import LINK, NETWORKS, SLOWDOWN, split_problem
from dnn_surgery.edge.runtime import Edge
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.onnx_engine import OnnxEngine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import Problem, plan
from dnn_surgery.profiling.measure import profile

Arrays = dict[str, Array]


def run() -> list[Figure]:
    """Edge-only, head + tail compiled, head + tail as a chain of segments; five networks."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            figures.extend(_of(name, export_network(name, Path(folder))))
            gc.collect()  # sessions hold the weights
    return figures


def _of(name: str, path: Path) -> list[Figure]:
    graph = load_model(str(path))
    everything = [layer.name for layer in graph.layers]
    # Compiled: no chain, so each part has a session of its own. As a chain: nothing may be compiled beside it.
    with OnnxEngine(graph, threads=1) as compiled, OnnxEngine(graph, threads=1, budget_bytes=0) as chained:
        frame = compiled.example()
        measured = profile(graph, engine=compiled, repeats=5)
        best = plan(split_problem(measured), LINK).edge
        chained.prepare()
        border = _best_border(chained, Problem.from_profiles(measured, measured, SLOWDOWN))
        calls: list[Callable[[], object]] = [
            _alone(path, frame),
            partial(Edge(compiled, everything), frame),
            partial(_in_two, Head(compiled, everything), Tail(compiled, everything), frame),
            partial(_in_two, Head(compiled, best), Tail(compiled, best), frame),
            partial(_in_two, Head(chained, border), Tail(chained, border), frame),
        ]
        alone_s, edge_s, whole_s, split_s, chain_s = interleaved(calls, repeats=15 if name == "vgg16" else 31, warmup=5)
    return [
        ratio(f"{name}: edge-only over ONNX Runtime alone", edge_s, alone_s, at_most=1.03),
        ratio(f"{name}: head + tail, compiled, over the whole", split_s, whole_s, at_most=1.05),
        ratio(f"{name}: head + tail, as a chain, over the whole", chain_s, whole_s, at_most=1.10),
    ]


def _alone(path: Path, frame: Arrays) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, frame)


def _best_border(engine: OnnxEngine, problem: Problem) -> tuple[str, ...]:
    """The layers at the edge of the cut with the least latency among those that the chain serves."""
    graph = engine.graph
    cuts = [graph.edge_layers(layer.name) for layer in graph.layers if layer.inputs]
    served = [edge for edge in cuts if len(edge) < len(graph.layers) and all(_parts_ready(engine, edge))]
    return min(served, key=lambda edge: problem.cost(edge=edge, link=LINK).latency_s)


def _parts_ready(engine: OnnxEngine, edge: tuple[str, ...]) -> tuple[bool, bool]:
    sent = engine.graph.boundary(edge)
    return (
        engine.part(engine.graph.inputs, sent).is_ready,
        engine.part(sent, engine.graph.outputs).is_ready,
    )


def _in_two(head: Head, tail: Tail, frame: Arrays) -> None:
    tail(head(frame))
