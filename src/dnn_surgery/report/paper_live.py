"""The paper's experiments as run live: a table, CSV files and a picture, simulated beside live."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dnn_surgery.errors import InputError
from dnn_surgery.evaluation.paper.live_timing import WITHIN, LiveCut
from dnn_surgery.evaluation.paper.live_trace import OverTrace
from dnn_surgery.evaluation.paper.published import HEAVY_HZ
from dnn_surgery.units import format_duration


def write_live(cuts: Sequence[LiveCut], traces: Sequence[OverTrace], folder: Path) -> Iterator[Path]:
    """`live.csv` (a row a strategy), `live.png`, `live-trace.csv`; of what there is. Gives each path once written.

    Raises:
        InputError: a file cannot be written.
    """
    from dnn_surgery.report.figures.canvas import write
    from dnn_surgery.report.figures.paper_live import live_against_simulated

    if cuts:
        yield write_rows(folder / "live.csv", [row for cut in cuts for row in _rows(cut)])
        yield write(live_against_simulated(cuts), folder / "live.png")
    if traces:
        yield write_rows(folder / "live-trace.csv", [_trace_row(one) for one in traces])


def show_live(cuts: Sequence[LiveCut], traces: Sequence[OverTrace], console: Console) -> None:
    """A row a cut, and in a line how many agree."""
    if cuts:
        table = Table(title="live over the shaped link, beside the simulation")
        for column in ("network", "link", "cut", "chosen by"):
            table.add_column(column)
        for column in ("latency", "simulated", "ratio", "replayed", "frames/s", "simulated", "ratio", "replayed", "n"):
            table.add_column(column, justify="right")
        for cut in cuts:
            table.add_row(
                *(cut.network, cut.link, cut.cut, _who(cut)),
                *(format_duration(cut.live.latency_s), format_duration(cut.simulated.latency_s)),
                *map(_ratio, (cut.latency_ratio, cut.replayed_ratios[0])),
                *(f"{cut.live.rate_hz:.3g}", f"{cut.simulated.rate_hz:.3g}"),
                *map(_ratio, (cut.rate_ratio, cut.replayed_ratios[1])),
                f"{cut.alone} + {cut.together}",
            )
        console.print(table)
        measured = _measured(cuts)
        for what, ratios in (
            ("latency, live over simulated", [cut.latency_ratio for cut in measured]),
            ("throughput, live over simulated", [cut.rate_ratio for cut in measured]),
            ("latency, live over replayed", [cut.replayed_ratios[0] for cut in measured]),
            ("throughput, live over replayed", [cut.replayed_ratios[1] for cut in measured]),
        ):
            near = sum(_is_within(ratio) for ratio in ratios)
            worst = max(ratios, key=lambda ratio: abs(np.log(ratio)))
            console.print(
                f"{what}: {near} of {len(ratios)} cuts within {WITHIN:.0%}, {statistics.median(ratios):.3f} in the "
                f"median, {worst:.3f} at the worst"
            )
    for one in traces:
        console.print(
            f"{one.network} over {one.trace}, {one.policy}: mean latency {format_duration(float(np.mean(one.live_s)))} "
            f"live, {format_duration(float(np.mean(one.simulated_s)))} simulated, ratio {_ratio(one.mean_ratio)}; "
            f"cuts live {_cuts(one.live_cuts)}, simulated {_cuts(one.simulated_cuts)}"
        )


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows as CSV, under the keys of the first one.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def _measured(cuts: Sequence[LiveCut]) -> list[LiveCut]:
    """Each measurement once: what stays at the edge stands for all links."""
    return list({(cut.network, cut.live): cut for cut in cuts}.values())


def _who(cut: LiveCut) -> str:
    """``dads (light), exact (light, heavy)``."""
    loads: dict[str, list[str]] = {}
    for strategy, rate_hz in cut.uses:
        loads.setdefault(strategy, []).append(_load(rate_hz))
    return ", ".join(name if len(some) > 1 else f"{name} ({some[0]})" for name, some in loads.items())


def _load(rate_hz: float) -> str:
    return "heavy" if rate_hz == HEAVY_HZ else "light"


def _rows(cut: LiveCut) -> Iterator[dict[str, Any]]:
    for strategy, rate_hz in cut.uses:
        yield {
            "network": cut.network,
            "link": cut.link,
            "load": _load(rate_hz),
            "strategy": strategy,
            "cut": cut.cut,
            "planned_bytes": cut.sent_bytes[0],
            "sent_bytes": cut.sent_bytes[1],
            "simulated_latency_s": cut.simulated.latency_s,
            "live_latency_s": cut.live.latency_s,
            "latency_ratio": cut.latency_ratio,
            "simulated_rate_hz": cut.simulated.rate_hz,
            "live_rate_hz": cut.live.rate_hz,
            "rate_ratio": cut.rate_ratio,
            "replayed_latency_s": cut.replayed.latency_s,
            "replayed_rate_hz": cut.replayed.rate_hz,
            "latency_ratio_replayed": cut.replayed_ratios[0],
            "rate_ratio_replayed": cut.replayed_ratios[1],
            **{f"simulated_{key}": getattr(cut.simulated, key) for key in ("edge_s", "transfer_s", "cloud_s")},
            **{f"live_{key}": getattr(cut.live, key) for key in ("edge_s", "transfer_s", "cloud_s")},
            "frames_alone": cut.alone,
            "frames_together": cut.together,
        }


def _trace_row(one: OverTrace) -> dict[str, Any]:
    row: dict[str, Any] = {"network": one.network, "trace": one.trace, "policy": one.policy, "first_s": one.first_s}
    for name, seconds in (("live", one.live_s), ("simulated", one.simulated_s)):
        row |= {
            f"{name}_frames": len(seconds),
            f"{name}_mean_s": float(np.mean(seconds)),
            f"{name}_p50_s": float(np.quantile(seconds, 0.5)),
            f"{name}_p95_s": float(np.quantile(seconds, 0.95)),
        }
    return row | {
        "mean_ratio": one.mean_ratio,
        "live_cuts": _cuts(one.live_cuts),
        "simulated_cuts": _cuts(one.simulated_cuts),
    }


def _cuts(counts: Any) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _is_within(ratio: float) -> bool:
    return abs(ratio - 1) <= WITHIN


def _ratio(ratio: float) -> str:
    return f"{ratio:.3f}" if _is_within(ratio) else f"[bold]{ratio:.3f}[/bold]"
