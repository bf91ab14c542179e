"""How planning grows with the graph: chains and random graphs of 100 to 10 000 layers."""

from __future__ import annotations

import time

from benchmarks.figure import Figure
from benchmarks.networks import random_dag
from benchmarks.planner import LINKS, timed
from dnn_surgery.planning import Goal, Problem
from dnn_surgery.planning.dsl import dsl
from dnn_surgery.planning.exact import bounded
from dnn_surgery.planning.frontier import frontier_below

SIZES = (100, 300, 1000, 3000, 10_000)
REACHES = ((1, "chain with skips"), (4, "random graph"))


def run() -> list[Figure]:
    """For each size: the frontier, or that there are too many partitions; a minimum cut; bounds for throughput."""
    return [
        figure
        for reach, kind in REACHES
        for layers in SIZES
        for figure in of_graph(random_dag(layers, reach=reach), f"{kind}, {layers} layers")
    ]


def of_graph(problem: Problem, name: str) -> list[Figure]:
    """Seconds of each step."""
    start = time.perf_counter()
    problem.structure.dsl  # noqa: B018 - built here, so that it is timed apart
    built_s = time.perf_counter() - start
    start = time.perf_counter()
    table = frontier_below(problem)
    table_s = time.perf_counter() - start
    figures = [
        Figure(f"{name}: reading the graph", built_s, "s"),
        Figure(f"{name}: {'above the cap, found after' if table is None else 'building the frontier'}", table_s, "s"),
    ]
    if table is not None:
        figures.append(Figure(f"{name}: rows of the frontier", len(table), ""))
        figures.append(timed(table.best, 100).figure(f"{name}: .best", "us"))
    figures.append(timed(lambda link: dsl(problem, link, Goal()), 4).figure(f"{name}: one DSL minimum cut", "ms"))
    start = time.perf_counter()
    found = bounded(problem, LINKS[2], Goal("throughput"))
    seconds = time.perf_counter() - start
    figures.append(Figure(f"{name}: most throughput by bounds", seconds, "s"))
    figures.append(Figure(f"{name}: its gap", 1.0 if found.gap is None else found.gap, ""))
    return figures
