"""One model through everything: traced, profiled, planned, cut in three places, compared with the unsplit model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from dnn_surgery.errors import SurgeryError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail, needed_inputs
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.planning import Link, Problem, plan
from dnn_surgery.profiling.measure import profile
from tests.execution.cuts import through_bytes

# A device eight times slower than the server, on a link where much is worth a thought.
LINK, SLOWDOWN = Link(bandwidth_bps=50e6, rtt_s=0.01), 8.0


@dataclass(frozen=True)
class Subject:
    """A graph, and what the unsplit model returns for `inputs` (None: the graph's example).

    Without `expected` it is what the engine itself makes of the whole.
    """

    graph: ModelGraph
    expected: Mapping[str, Array] | None = None
    inputs: Mapping[str, Array] | None = None


@dataclass(frozen=True)
class Entry:
    """A model of the table: its name, the package it comes from, and how to make it."""

    name: str
    source: str
    make: Callable[[], Subject]


@dataclass(frozen=True)
class Row:
    """What came out. `cuts` counts the partitions on the frontier; `results` are words by engine."""

    name: str
    source: str
    layers: int | None = None
    cuts: int | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def works(self) -> bool:
        """Whether every engine that was tried gave the unsplit model's results."""
        return not self.note


def subject_of(module: nn.Module, inputs: Mapping[str, torch.Tensor], *, name: str, **options: Any) -> Subject:
    """Traces a module; its own results are what is expected."""
    module.eval()
    with torch.inference_mode():
        returned = module(**inputs)
    graph = trace(module, dict(inputs), name=name, **options)
    leaves = [leaf for leaf in _leaves(returned) if isinstance(leaf, torch.Tensor)]
    # What does not depend on the inputs is left out of a graph; the sizes of all others tell which is which.
    if len(leaves) != len(graph.outputs):
        raise AssertionError(f"{name} returns {len(leaves)} tensors, its graph {len(graph.outputs)}")
    return Subject(graph, {name: leaf.numpy() for name, leaf in zip(graph.outputs, leaves, strict=True)})


def _leaves(returned: Any) -> list[Any]:
    leaves, _ = torch.utils._pytree.tree_flatten(dict(returned) if isinstance(returned, dict) else returned)
    return leaves


def check(entry: Entry, engines: Collection[str] = ("torch", "onnxruntime")) -> Row:
    """Runs a model through everything. What goes wrong stands in the row: an error of ours, or a result that differs.

    The engine that the graph was made for profiles it; ONNX files are not run by torch. Any other exception is a defect
    and passes through.
    """
    row = Row(entry.name, entry.source)
    try:
        subject = entry.make()
    except SurgeryError as error:
        return replace(row, note=str(error))
    graph = subject.graph
    row = replace(row, layers=sum(bool(layer.inputs) for layer in graph.layers))
    cuts = three_cuts(graph)
    for name in engines:
        own = name == ("onnxruntime" if graph.program.kind == "onnx" else "torch")
        if name == "torch" and not own:
            continue
        try:
            with make_engine(graph, name=name, device="cpu", threads=1) as engine:
                if own:
                    problem = _profiled(engine)
                    cuts.append(plan(problem, LINK).edge)
                    row = replace(row, cuts=_frontier_cuts(problem))
                worst = _worst_deviation(engine, subject, cuts)
        except SurgeryError as error:
            row = replace(row, results={**row.results, name: "no"}, note=f"{name}: {error}")
            continue
        result = "equal to the bit" if worst == 0.0 else f"within {worst:.0e}"
        row = replace(row, results={**row.results, name: result})
        if worst > (0.0 if name == "torch" else TOLERANCE):
            row = replace(row, note=f"{name}: results are {worst:.2g} of their range from the unsplit model's")
    return row


def three_cuts(graph: ModelGraph) -> list[tuple[str, ...]]:
    """An early, a middle and a late cut; the middle one where most tensors cross, which is inside branches."""
    names = [layer.name for layer in graph.layers if layer.inputs]
    middle = names[len(names) // 3 : 2 * len(names) // 3 + 1]
    widest = max(middle, key=lambda name: len(graph.boundary(graph.edge_layers(name))))
    return [graph.edge_layers(name) for name in (names[len(names) // 6], widest, names[5 * len(names) // 6])]


def _profiled(engine: Engine) -> Problem:
    measured = profile(engine.graph, engine=engine, repeats=1, warmup=1)
    return Problem.from_profiles(measured, measured, SLOWDOWN)


def _frontier_cuts(problem: Problem) -> int | None:
    found = problem.frontier
    return None if found is None else len(np.unique(found.edge_bits, axis=0))


def _worst_deviation(engine: Engine, subject: Subject, cuts: Collection[tuple[str, ...]]) -> float:
    """The largest difference from the unsplit model over all outputs and cuts; 0 is equal to the bit."""
    graph = subject.graph
    example = subject.inputs or {name: engine.to_array(value) for name, value in engine.example().items()}
    expected = subject.expected
    if expected is None:
        expected = engine.part(needed_inputs(graph, graph.outputs), graph.outputs)(example)
    worst = 0.0
    for edge in cuts:
        results = Tail(engine, edge)(through_bytes(Head(engine, edge)(through_bytes(example))))
        for name, value in expected.items():
            if not np.array_equal(results[name], value, equal_nan=value.dtype.kind == "f"):
                worst = max(worst, deviation(results[name], value) or np.finfo(np.float64).tiny)
    return worst
