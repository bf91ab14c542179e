"""Codecs: fewest bytes at equal accuracy, beside jpeg, webp and H.264, and what that is worth on four links.

Every way to send a frame goes through the guard: a share of answers that is proved (Wilson's bound, 95 %) over the same
frames; of each kind the smallest that passes is taken. The edge is this machine made eight times slower, the round trip
40 ms. Transforms are learnt from the first 15 frames of each film, which are not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.codec_cases import Case, classifier, detector
from benchmarks.codec_rivals import Way, pictures, smallest, splits, streams
from benchmarks.figure import Figure
from dnn_surgery.calibration.agreement import Agreement, frames_needed
from dnn_surgery.codecs import get
from dnn_surgery.evaluation.strategies import PAPER_LINKS_BPS
from dnn_surgery.planning import CodecCost, Link, Plan, Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.units import format_duration, format_size

# Accuracy, and by how much the issue wants the smallest picture codec that passes to be larger.
GOALS = ((0.90, 4.0), (0.99, 2.0))
SLOWDOWN, RTT_S = 8.0, 0.04
LINK_BPS = PAPER_LINKS_BPS["4G"]

Proved = tuple[Way, Agreement]


@dataclass(frozen=True)
class Found:
    """Of each kind of way, and of each cut, the smallest that is proved, by accuracy; None where none is."""

    kinds: Mapping[tuple[str, float], Proved | None]
    cuts: Mapping[tuple[str, float], Proved | None]
    exact: Mapping[str, Way]


def run() -> list[Figure]:
    """Both networks, a table each."""
    figures = []
    for make in (classifier, detector):
        case = make()
        found = _find(case)
        Console().print(_table(case, found))
        figures += _figures(case, found)
    return figures


def _find(case: Case) -> Found:
    kinds: dict[tuple[str, float], Proved | None] = {}
    cuts: dict[tuple[str, float], Proved | None] = {}
    exact = {}
    sent = pictures(case)
    filmed = list(streams(case))
    for accuracy, _ in GOALS:
        for kind in ("jpeg", "webp"):
            lossy = [way for way in sent if way.name.startswith(kind) and not get(way.name).lossless]
            kinds[kind, accuracy] = smallest(lossy, accuracy)
        kinds["lossless picture", accuracy] = smallest([way for way in sent if get(way.name).lossless], accuracy)
        kinds["h264", accuracy] = smallest(filmed, accuracy)
    for cut in case.cuts:
        ways = splits(case, cut)
        exact[cut] = ways[0]
        for accuracy, _ in GOALS:
            cuts[cut, accuracy] = smallest(ways, accuracy)
    return Found(kinds, cuts, exact)


def _table(case: Case, found: Found) -> Table:
    graph = case.engine.graph
    measured = profile(graph, engine=case.engine, repeats=7)
    problem = Problem.from_profiles(measured, measured, SLOWDOWN)
    (picture,) = graph.inputs
    everything = [layer.name for layer in graph.layers]
    table = Table(title=f"{case.name}: {len(case.judged)} frames; latency, frames a second", title_justify="left")
    for column in ("what is sent", "bytes", "answers kept, proved", *PAPER_LINKS_BPS):
        table.add_column(column, justify="left" if column == "what is sent" else "right")
    links = [Link(bps, RTT_S) for bps in PAPER_LINKS_BPS.values()]
    _add(table, "nothing: edge-only", None, "all", [problem.cost(edge=everything, link=link) for link in links])
    float_edge = graph.edge_layers(_float_input(case))
    plans = [problem.cost(edge=float_edge, link=link) for link in links]
    _add(table, "float32 input: cloud-only", plans[0].sent_bytes, "all", plans)
    for (kind, accuracy), proved in found.kinds.items():
        if proved is None:
            table.add_row(f"{kind} at {accuracy:g}: none passes")
            continue
        way, agreement = proved
        asked = problem.with_codecs({picture: [_slowed(way.costs[picture])]})
        plans = [asked.cost(edge=[picture], link=link) for link in links]
        _add(table, f"{way.name}, at {accuracy:g}", way.size_bytes, _kept(way, agreement), plans)
    exact = {cut: [way] for cut, way in found.exact.items()}
    _add_split(table, "split, lossless", case=case, problem=problem, ways=exact, seen={})
    for accuracy, _ in GOALS:
        ways = {cut: [one[0]] for (cut, at), one in found.cuts.items() if at == accuracy and one is not None}
        seen = {one[0].name: one[1] for (_, at), one in found.cuts.items() if at == accuracy and one is not None}
        _add_split(table, f"split, at {accuracy:g}", case=case, problem=problem, ways=ways, seen=seen)
    return table


def _float_input(case: Case) -> str:
    """What reads the picture where the model normalises it itself, else the input."""
    graph = case.engine.graph
    (picture,) = graph.inputs
    if graph.tensors[picture].dtype != "uint8":
        return picture
    return next(layer.name for layer in graph.layers if picture in layer.inputs)


def _add_split(
    table: Table,
    title: str,
    *,
    case: Case,
    problem: Problem,
    ways: Mapping[str, list[Way]],
    seen: Mapping[str, Agreement],
) -> None:
    """The cut of least latency on each link, with the way that was found for it."""
    if not ways:
        table.add_row(f"{title}: none passes")
        return
    graph = case.engine.graph
    for bps_name, bps in PAPER_LINKS_BPS.items():
        plans = {
            (cut, way.name): _cost(problem, graph.edge_layers(cut), way, Link(bps, RTT_S))
            for cut, some in ways.items()
            for way in some
        }
        (cut, name), best = min(plans.items(), key=lambda item: item[1].latency_s)
        cells = ["" if other != bps_name else _cell(best) for other in PAPER_LINKS_BPS]
        kept = "all" if name not in seen else _percent(seen[name])
        table.add_row(f"{title}: {cut} as {name}", format_size(best.sent_bytes), kept, *cells)


def _cost(problem: Problem, edge: Iterable[str], way: Way, link: Link) -> Plan:
    costs = {tensor: [_slowed(cost)] for tensor, cost in way.costs.items()}
    return problem.with_codecs(costs).cost(edge=tuple(edge), link=link)


def _slowed(cost: CodecCost) -> CodecCost:
    return CodecCost(cost.name, cost.size_bytes, cost.encode_s * SLOWDOWN, cost.decode_s)


def _add(table: Table, title: str, size_bytes: float | None, kept: str, plans: list[Plan]) -> None:
    table.add_row(title, "" if size_bytes is None else format_size(size_bytes), kept, *map(_cell, plans))


def _cell(found: Plan) -> str:
    return f"{format_duration(found.latency_s)}, {found.throughput_hz:.3g}/s"


def _kept(way: Way, agreement: Agreement) -> str:
    return "all" if way.name in ("png", "webp-lossless") else _percent(agreement)


def _percent(agreement: Agreement) -> str:
    return f"{agreement.agreeing}/{agreement.frames}, {100 * agreement.bound:.1f} %"


def _figures(case: Case, found: Found) -> list[Figure]:
    total = len(case.judged)
    figures = [
        Figure(f"{case.name}: frames of films judged", case.film_frames, "frames", at_least=450),
        Figure(f"{case.name}: frames that prove 0.99 if all agree", frames_needed(0.99), "frames", at_most=total),
    ]
    for accuracy, times in GOALS:
        rivals = [one[0] for (_, at), one in found.kinds.items() if at == accuracy and one is not None]
        passing = [way for way in rivals if not way.name.startswith("h264")]
        rival = min(passing, key=lambda way: way.size_bytes)
        for (cut, at), proved in found.cuts.items():
            if at != accuracy or proved is None:
                continue
            way = proved[0]
            name = f"{case.name} at {accuracy:g}: {rival.name} over {cut} as {way.name} ({_percent(proved[1])})"
            # The goal is for the middle of the classifier; the detector's cuts are there to say what is true.
            goal = times if cut in _MIDDLE else None
            figures.append(Figure(name, rival.size_bytes / way.size_bytes, at_least=goal))
            saved_bytes = rival.size_bytes - way.size_bytes
            if saved_bytes > 0:
                share = way.coding_s / (8 * saved_bytes / LINK_BPS)
                what = f"{case.name} at {accuracy:g}: coding of {way.name} at {cut} over the transfer saved"
                figures.append(Figure(what, share, at_most=0.1))
    return figures


_MIDDLE = ("blocks.5.project", "blocks.8.project", "blocks.11.project")
