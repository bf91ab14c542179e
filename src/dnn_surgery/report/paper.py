"""The paper's experiments as files: a picture and a CSV a figure, all outcomes, all comparisons."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from dnn_surgery.evaluation.paper.comparison import NEAR, Comparison, compare
from dnn_surgery.evaluation.paper.experiments import Outcome, run_all
from dnn_surgery.evaluation.paper.setups import Setup
from dnn_surgery.planning import Goal, Link
from dnn_surgery.report.paper_live import write_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

YOLO = "tiny_yolov2"
RESNET = "resnet18"


def write_paper(setups: Sequence[Setup], folder: Path) -> Iterator[Path]:
    """Computes everything and writes it to `folder`; gives each path once it is written.

    Raises:
        InputError: a file cannot be written.
    """
    from dnn_surgery.report.figures.canvas import write

    found = [(setup, list(run_all(setup))) for setup in setups]
    comparisons = [row for setup, rows in found for row in compare(setup, rows)]
    yield write_rows(folder / "outcomes.csv", [_outcome(row) for _, rows in found for row in rows])
    yield write_rows(folder / "comparison.csv", [_comparison(row) for row in comparisons])
    for name, make in _figures(setups, comparisons):
        yield write(make(), folder / f"{name}.png")
    for figure in dict.fromkeys(row.figure for row in comparisons):
        rows = [_comparison(row) for row in comparisons if row.figure == figure]
        yield write_rows(folder / f"{_file(figure)}.csv", rows)


def show_paper(path: Path, console: Console) -> None:
    """`comparison.csv` in short: the median of ours over the paper's by figure and set-up, and how many are near."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    setups = list(dict.fromkeys(row["setup"] for row in rows))
    table = Table(title=f"ours over the paper's number: median (how many are within {NEAR:g} times)")
    for column in ("figure", *setups):
        table.add_column(column)
    for figure in dict.fromkeys(row["figure"] for row in rows):
        cells = []
        for setup in setups:
            some = [row for row in rows if (row["figure"], row["setup"]) == (figure, setup)]
            ratios = [float(row["ratio"]) for row in some if row["ratio"]]
            near = sum(1 / NEAR <= ratio <= NEAR for ratio in ratios)
            median = f"{statistics.median(ratios):.2f}" if ratios else "none"
            cells.append(f"{median} ({near} of {len(some)})")
        table.add_row(figure if figure.startswith("table") else f"figure {figure}", *cells)
    console.print(table)


def _figures(setups: Sequence[Setup], rows: Sequence[Comparison]) -> Iterator[tuple[str, Callable[[], Figure]]]:
    from dnn_surgery.report.figures import bandwidth, layers, paper, stages
    from dnn_surgery.report.options import options

    for setup in setups:
        problem = setup.scaled(YOLO)
        table = problem.frontier
        yield f"figure-1-{setup.name}", partial(layers.layer_sizes, problem)
        yield f"figure-7-{setup.name}", partial(layers.layer_times, problem)
        if table is not None:
            link = Link(4e6)
            yield f"figure-2-{setup.name}", partial(stages.stage_bars, problem, link, table.plan(link, Goal()))
            found = options(problem, table)
            yield f"figure-3-{setup.name}", partial(bandwidth.latency_by_bandwidth, found, link)
    for figure, what, title in (
        ("12", "dads", "figure 12: DADS over Edge-Only, light load, 3G"),
        ("13", "dads", "figure 13: DADS over Edge-Only, heavy load, 3G"),
        ("14", "DSL", "figure 14: DSL over Neurosurgeon, light load, 3G"),
        ("14", "DSH", "figure 14: DSH over Neurosurgeon, heavy load, 3G"),
        ("15", "dads", "figure 15: ResNet-18, DADS over Edge-Only, light load"),
        ("16", "dads", "figure 16: ResNet-18, DADS over Edge-Only, heavy load"),
    ):
        some = [row for row in rows if row.figure == figure and row.quantity.startswith(what)]
        yield f"figure-{figure}-{what.lower()}", partial(paper.speedup_bars, some, title)
    yield "figure-17", partial(paper.latency_by_bandwidth, setups, RESNET)
    yield "figure-18", partial(paper.over_bandwidth_trace, setups, RESNET)


def _file(figure: str) -> str:
    name = figure if figure.startswith("table") else f"figure {figure}"
    return name.replace(" ", "-")


def _outcome(row: Outcome) -> dict[str, Any]:
    plan = row.plan
    return {
        "setup": row.setup,
        "network": row.network,
        "link": row.link,
        "bandwidth_bps": row.bandwidth_bps,
        "rate_hz": row.rate_hz,
        "strategy": row.strategy,
        "cut": row.cut,
        "mode": plan.mode or "",
        "sent_bytes": plan.sent_bytes,
        "edge_s": plan.edge_s,
        "transfer_s": plan.transfer_s,
        "cloud_s": plan.cloud_s,
        "latency_s": plan.latency_s,
        "throughput_hz": plan.throughput_hz,
        "latency_speedup": row.speedup[0],
        "throughput_speedup": row.speedup[1],
    }


def _comparison(row: Comparison) -> dict[str, Any]:
    return {
        "figure": row.figure,
        "setup": row.setup,
        "network": row.network,
        "link": row.link,
        "quantity": row.quantity,
        "paper": row.published,
        "ours": "" if row.ours is None else f"{row.ours:.4g}",
        "ratio": "" if row.ratio is None else f"{row.ratio:.3g}",
        "why": row.why,
    }
