"""The planner: frontier, one choice, one minimum cut, most throughput; beside networkx and the paper's Algorithm 2."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import networkx as nx
from networkx.algorithms.flow import boykov_kolmogorov

from benchmarks.figure import Figure, quartile_range
from benchmarks.networks import FIVE, LARGE, nasnet, with_six_codecs
from dnn_surgery.planning import Frontier, Goal, Limits, Link, Problem, frontier, plan
from dnn_surgery.planning.exact import bounded

# The paper's uplinks: CAT1, 3G, 4G, WiFi.
LINKS = tuple(Link(mbit * 1e6, 0.04) for mbit in (0.13, 1.1, 5.85, 18.88))
WITH_CODECS = ("ResNet-18", "ResNet-152", "GoogLeNet-like")
_LAYERS_OF_LARGE = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of repeated calls."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def figure(self, name: str, unit: str, *, at_most: float | None = None) -> Figure:
        """The median in s, ms or us."""
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]
        spread = quartile_range(self.seconds) * scale
        return Figure(name, self.median * scale, unit, at_most=at_most, spread=spread)


def timed(call: Callable[[Link], object], repeats: int, links: tuple[Link, ...] = LINKS) -> Timed:
    """Seconds of `call` on one link after another, after one round that does not count."""
    for link in links[: min(len(links), repeats)]:
        call(link)
    seconds = []
    for turn in range(repeats):
        start = time.perf_counter()
        call(links[turn % len(links)])
        seconds.append(time.perf_counter() - start)
    return Timed(tuple(seconds))


def run() -> list[Figure]:
    """All networks; those with codecs; a graph above the cap."""
    figures = []
    for build in (*FIVE, *LARGE):
        problem = build()
        figures += of_network(problem, small=build in FIVE)
        if problem.name in WITH_CODECS:
            figures += of_codecs(with_six_codecs(problem))
    return [*figures, *of_nasnet(nasnet())]


def of_network(problem: Problem, *, small: bool) -> list[Figure]:
    """Frontier, choice, minimum cut, throughput; each beside what others use."""
    name = f"{problem.name} ({len(problem.layers)} layers)"
    structure = problem.structure
    table = frontier(problem)
    build = timed(lambda _: frontier(fresh(problem)), 9)
    best = timed(table.best, 400)
    cut = timed(lambda link: plan(problem, link, algorithm="dsl"), 21)
    rival = timed(lambda link: networkx_cut(problem, link, corrected=True), 4)
    letter = timed(lambda link: networkx_cut(problem, link, corrected=False), 4)
    most = timed(lambda link: table.best(link, objective="throughput"), 400)
    grid = timed(lambda link: plan(problem, link, "throughput", algorithm="dsh-paper"), 1, LINKS[2:3])
    large = len(structure.names) >= _LAYERS_OF_LARGE
    excess = [
        plan(problem, link, "throughput", algorithm="dsh").bottleneck_s
        / table.best(link, objective="throughput").bottleneck_s
        for link in LINKS
    ]
    return [
        Figure(f"{name}: partitions", table.partitions, ""),
        Figure(f"{name}: rows of the frontier", len(table), ""),
        build.figure(f"{name}: building the frontier", "ms", at_most=20 if small else None),
        best.figure(f"{name}: .best", "us", at_most=50),
        cut.figure(f"{name}: one DSL minimum cut", "ms"),
        Figure(
            f"{name}: networkx on the same graph over .best",
            rival.median / best.median,
            at_least=1000 if large else None,
        ),
        Figure(f"{name}: networkx on the paper's own graph over .best", letter.median / best.median),
        Figure(f"{name}: networkx over our minimum cut", rival.median / cut.median),
        most.figure(f"{name}: most throughput, exact", "us"),
        Figure(f"{name}: Algorithm 2 (limited grid) over exact throughput", grid.median / most.median),
        Figure(f"{name}: Algorithm 2, corrected, worst bottleneck over the optimum", max(excess)),
        Figure(f"{name}: gap of latency and throughput", gap(table), "", at_most=0.0),
    ]


def of_codecs(problem: Problem) -> list[Figure]:
    """Six codecs a tensor, limits and a rate."""
    name = f"{problem.name}, six codecs"
    table = frontier(problem)
    limits = Limits(edge_param_bytes=4e7, frame_bytes=3e5, deadline_s=60.0)
    build = timed(lambda _: frontier(fresh(problem)), 1, LINKS[:1])
    best = timed(lambda link: table.best(link, 2.0, 1.5, rate_hz=0.5, limits=limits), 400)
    return [
        Figure(f"{name}: combinations after filtering", table.combinations, ""),
        Figure(f"{name}: rows of the frontier", len(table), ""),
        build.figure(f"{name}: building the frontier", "s"),
        best.figure(f"{name}: .best with limits, a rate and loads", "us", at_most=300),
    ]


def of_nasnet(problem: Problem) -> list[Figure]:
    """Too many partitions to list: bounds instead."""
    name = f"{problem.name} ({len(problem.layers)} layers)"
    if problem.frontier is not None:
        raise RuntimeError(f"{name} was to be above the cap")
    goal = Goal("throughput")
    cut = timed(lambda link: plan(problem, link), 9)
    rival = timed(lambda link: networkx_cut(problem, link, corrected=True), 1, LINKS[2:3])
    seconds, gaps = [], []
    for mbit in (0.13, 1.1, 5.85, 18.88, 50, 100, 300, 1000):
        start = time.perf_counter()
        found = bounded(problem, Link(mbit * 1e6, 0.04), goal)
        seconds.append(time.perf_counter() - start)
        gaps.append(found.gap if found.gap is not None else 1.0)
    return [
        cut.figure(f"{name}: least latency, proved", "ms"),
        Figure(f"{name}: networkx over our minimum cut", rival.median / cut.median),
        Figure(f"{name}: most throughput, median of 8 links", statistics.median(seconds), "s"),
        Figure(f"{name}: most throughput, slowest of 8 links", max(seconds), "s", at_most=1.0),
        Figure(f"{name}: most throughput, median gap", statistics.median(gaps), ""),
        Figure(f"{name}: most throughput, largest gap", max(gaps), ""),
    ]


def gap(table: Frontier) -> float:
    """The largest gap that the frontier's plans admit to."""
    plans = [table.best(link, objective=objective) for link in LINKS for objective in ("latency", "throughput")]
    return max(1.0 if found.gap is None or not found.optimal else found.gap for found in plans)


def fresh(problem: Problem) -> Problem:
    """The same problem without anything remembered."""
    return replace(problem)


def networkx_cut(problem: Problem, link: Link, *, corrected: bool) -> float:
    """DSL in networkx by Boykov and Kolmogorov's algorithm, which public implementations use.

    Their graph is the paper's own, which gives wrong cuts; the corrected one asks the question that ours answers.
    """
    graph = nx.DiGraph()
    readers: dict[str, list[str]] = {}
    for layer in problem.layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer.name)
    for layer in problem.layers:
        graph.add_edge("edge", layer.name, capacity=layer.cloud_s)
        graph.add_edge(layer.name, "cloud", capacity=layer.edge_s)
        if corrected and not layer.inputs:
            graph.add_edge("edge", layer.name, capacity=float("inf"))
    for layer in problem.layers:
        for tensor in layer.outputs:
            seconds = tensor.size_bytes * link.up_byte_s
            after = readers.get(tensor.name, [])
            if len(after) == 1:
                graph.add_edge(layer.name, after[0], capacity=seconds)
            elif after:
                graph.add_edge(layer.name, ("sent", tensor.name), capacity=seconds)
            for reader in after:
                if len(after) > 1:
                    graph.add_edge(("sent", tensor.name), reader)  # without a capacity: infinite
                if corrected:
                    graph.add_edge(reader, layer.name)
    value, _ = nx.minimum_cut(graph, "edge", "cloud", flow_func=boykov_kolmogorov)
    return float(value)
