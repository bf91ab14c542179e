"""What the parts cost beside the unsplit model: no network, one thread, five networks of the paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.figure import Figure, interleaved, ratio
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.model.normalisation import example_picture
from dnn_surgery.model.tracing import trace
from dnn_surgery.model.weights import seed_weights
from dnn_surgery.model.zoo import entry
from dnn_surgery.planning import Link, Problem, plan
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile

NETWORKS = ("nin", "tiny_yolov2", "vgg16", "alexnet", "resnet18")
LINK, SLOWDOWN = Link(bandwidth_bps=5.85e6, rtt_s=0.04), 8.0


def run() -> list[Figure]:
    """Edge-only through the project against the bare module, and head + tail at the best split against the whole."""
    figures = []
    for name in NETWORKS:
        found = entry(name)
        with torch.device("meta"):
            module = found.build(found.classes)
        seed_weights(module)
        module.eval()
        picture = example_picture(found.picture)
        graph = trace(module, picture, name=name, layers=found.layers)
        engine = make_engine(graph, threads=1)
        whole = engine.part(graph.inputs, graph.outputs)
        best = plan(split_problem(profile(graph, engine=engine, repeats=5)), LINK)
        head, tail = Head(engine, best.edge), Tail(engine, best.edge)
        arrays = {graph.inputs[0]: picture.numpy()}

        def bare(module: torch.nn.Module = module, picture: torch.Tensor = picture) -> None:
            with torch.inference_mode():
                module(picture)

        calls: list[Callable[[], object]] = [bare, partial(whole, arrays), partial(_in_two, head, tail, arrays)]
        bare_s, whole_s, split_s = interleaved(calls, repeats=15 if name != "vgg16" else 7)
        figures.append(ratio(f"{name}: edge-only over the bare module", whole_s, bare_s, at_most=1.03))
        figures.append(ratio(f"{name}: head + tail over the whole", split_s, whole_s, at_most=1.05))
    return figures


def _in_two(head: Head, tail: Tail, arrays: dict[str, Array]) -> None:
    tail(head(arrays))


def split_problem(measured: Profile) -> Problem:
    """A problem in which both sides must compute, so that its best plan is a split."""
    problem = Problem.from_profiles(measured, measured, SLOWDOWN)
    first, last = problem.layers[2].name, problem.layers[-1].name
    return problem.with_pins(edge=[first], cloud=[last])
