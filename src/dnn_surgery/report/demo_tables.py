"""The demo's tables for people, and its record for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from dnn_surgery.evaluation.demo import Cell, Demo, Row
from dnn_surgery.units import format_bandwidth, format_duration, format_size

# Uploading the float32 input is what the paper compares with; nobody would do it who can send a jpeg.
CONTENDERS = ("edge", "jpeg", "split")
PRIVATE = ("edge", "split")


def best(cells: Sequence[Cell], objective: str, among: Sequence[str] = CONTENDERS) -> tuple[str, float]:
    """The contender with the least latency (or the highest rate) and by what factor it beats the next one."""
    cost = {cell.strategy.name: cell.latency_s if objective == "latency" else 1 / cell.rate_hz for cell in cells}
    ranked = sorted((cost[name], name) for name in among)
    return ranked[0][1], ranked[1][0] / ranked[0][0]


def show_demo(demo: Demo, console: Console) -> None:
    """Prints tables and findings."""
    console.print(_live_table(demo))
    console.print(
        "frames/s and latency: measured, then predicted (alone where a frame takes too long to run it here). "
        "cloud float32: the paper's Cloud-Only. best split: both sides compute, no bit is lost, the picture stays on "
        "the device, least latency. what to use: by what factor it beats the next best of edge-only, jpeg and split.",
        style="dim",
    )
    _show_findings(demo, console)
    console.print(_predicted_table(demo))
    console.print(
        "Predicted from profiles measured here, not run; the weights are random where no file is given, "
        "which changes no time and no size.",
        style="dim",
    )


def _live_table(demo: Demo) -> Table:
    table = Table(
        title=f"{demo.model} live: edge = this machine made {demo.slowdown:g} times slower (an emulated device), "
        f"RTT {format_duration(demo.rtt_s)}",
        show_lines=True,
    )
    table.add_column("link", no_wrap=True)
    for column in ("edge-only", "cloud float32", "cloud jpeg95", "best split", "what to use"):
        table.add_column(column, overflow="fold")
    for row in demo.rows:
        cells = [_cell(cell) for cell in row.cells]
        table.add_row(f"{row.network}\n{format_bandwidth(row.link.bandwidth_bps)}", *cells, _advice(row))
    return table


def _cell(cell: Cell) -> str:
    plan, seen = cell.strategy.plan, cell.seen
    lines = [f"[bold]{seen.rate_hz:.3g}/s, {format_duration(seen.latency_s)}[/bold]"] if seen else []
    lines.append(f"[dim]{plan.throughput_hz:.3g}/s, {format_duration(plan.latency_s)}[/dim]")
    if cell.strategy.name == "split":
        lines.append(f"{cell.strategy.cut}, {format_size(plan.sent_bytes)}")
    elif plan.sent:
        lines.append(format_size(plan.sent_bytes))
    return "\n".join(lines)


def _advice(row: Row) -> str:
    lines = [f"[bold]{_verdict(row.cells, CONTENDERS)}[/bold]"]
    if not {name for name, _ in (best(row.cells, "latency"), best(row.cells, "throughput"))} <= set(PRIVATE):
        lines.append(f"[dim]picture kept here:[/dim]\n{_verdict(row.cells, PRIVATE)}")
    return "\n".join(lines)


def _verdict(cells: Sequence[Cell], among: Sequence[str]) -> str:
    (fastest, factor), (busiest, rate_factor) = best(cells, "latency", among), best(cells, "throughput", among)
    if fastest == busiest:
        return f"{fastest}: latency {factor:.2f}x, frames/s {rate_factor:.2f}x"
    return f"{fastest}: latency {factor:.2f}x\n{busiest}: frames/s {rate_factor:.2f}x"


def _show_findings(demo: Demo, console: Console) -> None:
    answers, kill = demo.answers, demo.kill
    console.print(
        f"labels right: {answers.right} of {answers.pictures} unsplit, {answers.jpeg_right} by way of jpeg95 "
        f"({answers.jpeg_agrees} answers as they were)"
    )
    console.print(
        f"bit for bit the unsplit result: {answers.equal_results} of {answers.exact_results} "
        "(split, float32 and edge-only)"
    )
    console.print(
        f"server killed in mid-run: {kill.frames} frames taken in, {kill.frames - kill.results} lost, "
        f"{kill.by_edge} finished by the edge, {kill.equal} of {kill.frames} answers right to the bit"
    )


def _predicted_table(demo: Demo) -> Table:
    table = Table(title=f"the paper's networks, predicted only (edge {demo.slowdown:g} times slower)", show_lines=True)
    table.add_column("network", no_wrap=True)
    for row in demo.predicted[0][1]:
        table.add_column(f"{row.network}, {format_bandwidth(row.link.bandwidth_bps)}")
    for name, rows in demo.predicted:
        table.add_row(name, *(_predicted_cell(row) for row in rows))
    return table


def _predicted_cell(row: Row) -> str:
    lines = []
    for objective in ("latency", "throughput"):
        name, factor = best(row.cells, objective)
        cell = next(cell for cell in row.cells if cell.strategy.name == name)
        figure = format_duration(cell.latency_s) if objective == "latency" else f"{cell.rate_hz:.3g}/s"
        what = f"split {cell.strategy.cut}" if name == "split" else name
        lines.append(f"{figure}: {what}, {factor:.2f}x")
    return "\n".join(lines)


def demo_record(demo: Demo) -> dict[str, Any]:
    """What the tables show, as plain data."""
    return {
        "schema": "dnn-surgery/demo/1",
        "model": demo.model,
        "edge_slowdown": demo.slowdown,
        "rtt_s": demo.rtt_s,
        "links": [_row_record(row) for row in demo.rows],
        "answers": {
            "pictures": demo.answers.pictures,
            "right": demo.answers.right,
            "jpeg_right": demo.answers.jpeg_right,
            "jpeg_agrees": demo.answers.jpeg_agrees,
            "exact_results": demo.answers.exact_results,
            "equal_results": demo.answers.equal_results,
        },
        "kill": {
            "frames": demo.kill.frames,
            "lost": demo.kill.frames - demo.kill.results,
            "finished_by_edge": demo.kill.by_edge,
            "equal": demo.kill.equal,
            "failure": demo.kill.failure,
        },
        "predicted_only": {name: [_row_record(row) for row in rows] for name, rows in demo.predicted},
    }


def _row_record(row: Row) -> dict[str, Any]:
    return {
        "link": row.network,
        "bandwidth_bps": row.link.bandwidth_bps,
        "use": {objective: best(row.cells, objective)[0] for objective in ("latency", "throughput")},
        "strategies": [
            {
                "name": cell.strategy.name,
                "cut": cell.strategy.cut,
                "sent_bytes": cell.strategy.plan.sent_bytes,
                "predicted": {
                    "latency_s": cell.strategy.plan.latency_s,
                    "throughput_hz": cell.strategy.plan.throughput_hz,
                },
                "measured": None
                if cell.seen is None
                else {"latency_s": cell.seen.latency_s, "throughput_hz": cell.seen.rate_hz},
            }
            for cell in row.cells
        ],
    }
