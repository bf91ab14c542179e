"""Regret over traces, as tables for people and as tidy rows for files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dnn_surgery.errors import InputError
from dnn_surgery.evaluation.regret import Experiment, Outcomes
from dnn_surgery.units import format_bandwidth, format_duration, format_size

COLUMNS = ("network", "trace", "policy", "seed", "start_s", "metric", "value", "low", "high")


def show_regret(experiment: Experiment, played: Mapping[str, Outcomes], oracle: str, console: Console) -> None:
    """One table: each policy's latency, how far behind the clairvoyant it is, and what it cost."""
    title = (
        f"{experiment.problem.name} on {experiment.trace_name} ({format_bandwidth(experiment.trace.mean_bps)} in the "
        f"mean), RTT {format_duration(experiment.rtt_s)}, {experiment.rate_hz:.3g} frames/s, "
        f"{experiment.starts} starts of {experiment.frames} frames"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("policy", min_width=max(map(len, played)))
    for column in ("mean", "p95", "behind oracle", "95 % interval", "in time", "changes", "probes", "dead seconds"):
        table.add_column(column, justify="right")
    for name, outcomes in sorted(played.items(), key=lambda item: item[1].mean_s):
        low, high = outcomes.behind_interval(played[oracle])
        dead_s, dead_frames = outcomes.interval("dead_mean_s")[0], sum(len(run.dead_latency_s) for run in outcomes.runs)
        table.add_row(
            name,
            format_duration(outcomes.mean_s),
            format_duration(outcomes.p95_s),
            f"{outcomes.behind(played[oracle]):+.1%}",
            f"{low:+.1%} to {high:+.1%}",
            f"{outcomes.met:.1%}",
            f"{outcomes.interval('changes')[0]:.3g}",
            f"{format_size(outcomes.interval('probe_bytes')[0])}/f.",
            f"{format_duration(dead_s)} in {dead_frames}" if dead_frames else "none",
        )
    console.print(table)


def tidy_rows(experiment: Experiment, played: Mapping[str, Outcomes], oracle: str) -> Iterator[tuple[object, ...]]:
    """A row a metric: of each start (`seed` its number), and over all starts with the interval (`seed` all)."""
    place = (experiment.problem.name, experiment.trace_name)
    for name, outcomes in played.items():
        for run in outcomes.runs:
            for metric, value in run.values().items():
                yield (*place, name, run.seed, round(run.start_s, 6), metric, _number(value), "", "")
        for metric in outcomes.runs[0].values():
            yield (*place, name, "all", "", metric, *map(_number, outcomes.interval(metric)))
        behind = (outcomes.behind(played[oracle]), *outcomes.behind_interval(played[oracle]))
        yield (*place, name, "all", "", "regret", *map(_number, behind))


def write_tidy(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    """Writes the rows under :data:`COLUMNS` as CSV.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.9g}"
