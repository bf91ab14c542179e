"""The whole report of a problem: every picture, then the page that holds them all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_surgery.errors import InputError
from dnn_surgery.planning import Goal, Link, Plan, Problem, frontier
from dnn_surgery.report.options import Options, options
from dnn_surgery.report.regimes import regimes
from dnn_surgery.report.what_if import Picture, what_if, write_page
from dnn_surgery.units import format_bandwidth, format_duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"


def write_report(
    problem: Problem, link: Link, folder: Path, *, goal: Goal | None = None, frames: Path | None = None
) -> Iterator[Path]:
    """Writes pictures and page to `folder` one after the other; gives each path once it is written.

    Args:
        problem: what is to be cut. Its frontier is needed: too many combinations of cuts and codecs are refused.
        link: where pictures show one link, and where the page starts.
        folder: must exist. Files of earlier reports are replaced.
        goal: which plan is the best; the one of least latency by default.
        frames: what ``dnn-surgery run --json`` printed, for the timeline.

    Raises:
        InfeasibleError: the problem has no frontier.
        InputError: a file cannot be read or written, or matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("pictures need matplotlib: pip install 'dnn-surgery[report]'")
    from dnn_surgery.report.figures.canvas import write
    from dnn_surgery.report.figures.timeline import read_run

    table = frontier(problem)
    # First, so that a file that cannot be read is said before anything is drawn.
    records = None if frames is None else read_run(_read(frames).splitlines(), str(frames))
    found = options(problem, table)
    pictures = []
    best = table.plan(link, goal or Goal())
    for name, title, caption, make in _pictures(problem, found, link, best, records):
        pictures.append(Picture(write(make(), folder / f"{name}.png"), title, caption))
        yield pictures[-1].path
    yield write_page(folder / PAGE, what_if(problem, found, link), pictures)


_Planned = tuple[str, str, str, "Callable[[], Figure]"]


def _pictures(
    problem: Problem, found: Options, link: Link, best: Plan, records: list[dict[str, Any]] | None
) -> Iterator[_Planned]:
    """Name, title, caption and maker of each picture, the most useful one first."""
    from dnn_surgery.report.figures import bandwidth, frontier_plot, graph, layers, regime_map, stages, timeline

    here = f"{format_bandwidth(link.bandwidth_bps)}, RTT {format_duration(link.rtt_s)}"
    rates, slowdowns = np.geomspace(5e4, 1e8, 160), np.geomspace(0.25, 32, 100)
    maps = [regimes(found, rates, slowdowns, objective=name, rtt_s=link.rtt_s) for name in ("latency", "throughput")]
    note = f"RTT {format_duration(link.rtt_s)}; slow-down 1 is the edge of this problem; white lines: times better"
    yield (
        "regimes",
        "Whether to split at all",
        "Colour: what wins. Pale: it hardly does. Lines: by how much over the next best of staying local, uploading "
        "and splitting.",
        partial(regime_map.regime_map, found, maps, note=note),
    )
    yield (
        "graph",
        "The cut",
        f"The best plan at {here}; runs of layers are drawn as one box.",
        partial(graph.cut_graph, problem, best),
    )
    yield (
        "bandwidth",
        "Latency by bandwidth",
        "Grey: every split of the frontier. Amber: the best of all.",
        partial(bandwidth.latency_by_bandwidth, found, link),
    )
    yield (
        "stages",
        "Stages of every cut",
        f"At {here}. Cuts along the topological order.",
        partial(stages.stage_bars, problem, link, best),
    )
    yield (
        "frontier",
        "The frontier",
        "Plans that no other beats in edge time, bytes and cloud time at once.",
        partial(frontier_plot.frontier_plot, found, link),
    )
    yield (
        "layer_sizes",
        "What each layer would send",
        "With its smallest admitted codec.",
        partial(layers.layer_sizes, problem),
    )
    yield "layer_times", "What each layer takes", "At the edge and in the cloud.", partial(layers.layer_times, problem)
    if records is not None:
        draw = partial(timeline.run_timeline, records, problem.name)
        yield "timeline", "A run", "Its frames, in the order of their results.", draw


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
