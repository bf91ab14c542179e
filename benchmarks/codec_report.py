"""What was found for a network, as a table and as figures with goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.codec_cases import Case
from benchmarks.codec_rivals import Cut, Way, lossless_picture, pictures, stream
from benchmarks.figure import Figure
from dnn_surgery.calibration.agreement import frames_needed
from dnn_surgery.evaluation.strategies import PAPER_LINKS_BPS
from dnn_surgery.planning import CodecCost, Link, Plan, Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.units import format_duration, format_size

# Accuracy, and by how much the smallest picture codec that passes is to be larger.
GOALS = ((0.90, 4.0), (0.99, 2.0))
SLOWDOWN, RTT_S = 8.0, 0.04
EXACT = "split, lossless"


@dataclass
class Found:
    """The smallest way that is proved: `kinds` by kind of picture codec and accuracy; `cuts` by layer and accuracy.

    `exact` are the ways by layer that lose nothing, `picture` the one of the picture; `unweighted` transforms in which
    all channels count alike.
    """

    picture: Way
    kinds: dict[tuple[str, float], Way | None] = field(default_factory=dict)
    cuts: dict[tuple[str, float], Way | None] = field(default_factory=dict)
    exact: dict[str, Way] = field(default_factory=dict)
    unweighted: dict[tuple[str, float], Way | None] = field(default_factory=dict)


def report(case: Case) -> list[Figure]:
    """Finds, prints the table, and gives the figures."""
    return show(case, find(case))


def show(case: Case, found: Found) -> list[Figure]:
    """Takes the times, prints the table, and gives the figures."""
    for way in (found.picture, *found.kinds.values(), *found.cuts.values(), *found.exact.values()):
        if way is not None:
            print(f"  {way.name}: {1e3 * way.coding_s:.2f} ms", flush=True)
    Console().print(_table(case, found))
    return _figures(case, found)


def find(case: Case) -> Found:
    """The smallest ways that are proved: nothing that is timed, so other work beside it does no harm."""
    found = Found(lossless_picture(case))
    for family in (*pictures(case), stream(case)):
        print(f"{case.name}: {family.kind}", flush=True)
        for accuracy, _ in GOALS:
            key = family.kind, accuracy
            found.kinds[key] = _smaller(found.kinds.get(key), family.coarsest(case, accuracy))
    for layer in case.cuts:
        print(f"{case.name}: {layer}", flush=True)
        cut = Cut(case, layer)
        found.exact[layer] = cut.lossless()
        for family in cut.families():
            for accuracy, _ in GOALS:
                known = found.cuts.get((layer, accuracy))
                below_bytes = known.size_bytes if known else float("inf")
                way = family.coarsest(case, accuracy, below_bytes=below_bytes)
                found.cuts[layer, accuracy] = _smaller(known, way)
        if layer in case.middle[:1]:
            family = cut.families(weighted=False)[0]
            for accuracy, _ in GOALS:
                found.unweighted[layer, accuracy] = family.coarsest(case, accuracy)
    return found


def _smaller(one: Way | None, other: Way | None) -> Way | None:
    known = [way for way in (one, other) if way is not None]
    return min(known, key=lambda way: way.size_bytes, default=None)


def _table(case: Case, found: Found) -> Table:
    graph = case.engine.graph
    measured = profile(graph, engine=case.engine, repeats=7)
    problem = Problem.from_profiles(measured, measured, SLOWDOWN)
    (picture,) = graph.inputs
    links = [Link(bps, RTT_S) for bps in PAPER_LINKS_BPS.values()]
    table = Table(title=f"{case.name}: {len(case.judged)} frames; latency, frames a second", title_justify="left")
    for column in ("what is sent", "bytes", "answers kept, proved", *PAPER_LINKS_BPS):
        table.add_column(column, justify="left" if column == "what is sent" else "right")

    def add(title: str, size_bytes: float | None, kept: str, plans: Iterable[Plan]) -> None:
        table.add_row(title, "" if size_bytes is None else format_size(size_bytes), kept, *map(_cell, plans))

    everything = [layer.name for layer in graph.layers]
    add("nothing: edge-only", None, "all", [problem.cost(edge=everything, link=link) for link in links])
    float_edge = graph.edge_layers(_float_input(case))
    plans = [problem.cost(edge=float_edge, link=link) for link in links]
    add("float32 input: cloud-only", plans[0].sent_bytes, "all", plans)
    for (kind, accuracy), way in {**found.kinds, ("webp", 1.0): found.picture}.items():
        if way is None:
            table.add_row(f"{kind} at {accuracy:g}: none passes")
            continue
        # The frame is the camera's picture: what it takes to make the network's input of it is nothing of the codec's.
        plans = [_cost(problem, [picture], way, link) for link in links]
        add(f"{way.name} at {accuracy:g}", way.size_bytes, _kept(way), plans)
    _add_splits(table, EXACT, case, problem, ways=found.exact)
    for accuracy, _ in GOALS:
        ways = {layer: way for (layer, at), way in found.cuts.items() if at == accuracy and way is not None}
        _add_splits(table, f"split at {accuracy:g}", case, problem, ways=ways)
    return table


def _float_input(case: Case) -> str:
    """What reads the picture where the model normalises it itself, else the input."""
    graph = case.engine.graph
    (picture,) = graph.inputs
    if graph.tensors[picture].dtype != "uint8":
        return picture
    return next(layer.name for layer in graph.layers if picture in layer.inputs)


def _add_splits(table: Table, title: str, case: Case, problem: Problem, *, ways: Mapping[str, Way]) -> None:
    """A row for each cut that has the least latency on some link."""
    if not ways:
        table.add_row(f"{title}: none passes")
        return
    graph = case.engine.graph
    cells: dict[str, list[str]] = {}
    for place, bps in enumerate(PAPER_LINKS_BPS.values()):
        plans = {layer: _cost(problem, graph.edge_layers(layer), way, Link(bps, RTT_S)) for layer, way in ways.items()}
        best = min(plans, key=lambda layer: plans[layer].latency_s)
        cells.setdefault(best, [""] * len(PAPER_LINKS_BPS))[place] = _cell(plans[best])
    for layer, row in cells.items():
        way = ways[layer]
        table.add_row(f"{title}: {layer} as {way.name}", format_size(way.size_bytes), _kept(way), *row)


def _cost(problem: Problem, edge: Iterable[str], way: Way, link: Link) -> Plan:
    costs = {tensor: [_slowed(cost)] for tensor, cost in way.costs.items()}
    return problem.with_codecs(costs).cost(edge=tuple(edge), link=link)


def _slowed(cost: CodecCost) -> CodecCost:
    return CodecCost(cost.name, cost.size_bytes, cost.encode_s * SLOWDOWN, cost.decode_s)


def _cell(found: Plan) -> str:
    return f"{format_duration(found.latency_s)}, {found.throughput_hz:.3g}/s"


def _kept(way: Way) -> str:
    agreement = way.counted
    if agreement is None or way.name in ("zstd", "webp-lossless"):
        return "all"
    return f"{agreement.agreeing}/{agreement.frames}, {100 * agreement.bound:.1f} %"


def _figures(case: Case, found: Found) -> list[Figure]:
    total = len(case.judged)
    figures = [
        Figure(f"{case.name}: frames of films judged", case.film_frames, "frames", at_least=450),
        Figure(f"{case.name}: frames that prove 0.99 if all agree", frames_needed(0.99), "frames", at_most=total),
    ]
    for accuracy, _ in GOALS:
        lossy = [way for (kind, at), way in found.kinds.items() if at == accuracy and way and kind != "h264"]
        rival = min([found.picture, *lossy], key=lambda way: way.size_bytes)
        for layer in case.cuts:
            if (way := found.cuts[layer, accuracy]) is not None:
                figures += _beside(case, accuracy, layer, way=way, rival=rival)
            if way is not None and (plain := found.unweighted.get((layer, accuracy))) is not None:
                name = f"{case.name} at {accuracy:g}: {layer} with all channels alike over weighted, bytes"
                figures.append(Figure(name, plain.size_bytes / way.size_bytes, at_least=1.0))
    return figures


def _beside(case: Case, accuracy: float, layer: str, *, way: Way, rival: Way) -> list[Figure]:
    """Bytes beside the picture's, and what coding takes of the transfer time that the fewer bytes save."""
    goal = dict(GOALS)[accuracy] if layer in case.middle else None
    name = f"{case.name} at {accuracy:g}: {way.name} of {layer} ({_kept(way)})"
    figures = [Figure(f"{name}: fewer bytes than {rival.name}", rival.size_bytes / way.size_bytes, at_least=goal)]
    saved_bytes = rival.size_bytes - way.size_bytes
    if layer in case.middle and saved_bytes > 0:
        for link, bps in sorted(PAPER_LINKS_BPS.items(), key=lambda item: -item[1]):
            share = way.coding_s / (8 * saved_bytes / bps)
            figures.append(Figure(f"{name}: coding over transfer time saved, {link}", share, at_most=0.1))
    return figures
