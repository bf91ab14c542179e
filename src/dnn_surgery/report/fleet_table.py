"""What `evaluate fleet` prints."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from dnn_surgery.evaluation.fleet import Fleet
from dnn_surgery.evaluation.fleet_compare import Result
from dnn_surgery.units import format_duration


def fleet_table(fleet: Fleet, results: Mapping[str, Result]) -> Table:
    """A row a kind of fleet."""
    table = Table(
        title=f"{fleet.problem.name}: {fleet.devices} devices at {fleet.rate_hz:g} frames/s, {fleet.workers} workers",
        caption="share: devices that send. swing: its standard deviation over time. together: its variance over that "
        "of devices that decide independently. Simulated; only cloud, refused and late count the first quarter.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("fleet")
    for column in ("mean latency", "share", "swing", "together", "cloud", "refused", "late"):
        table.add_column(column, justify="right")
    for name, result in results.items():
        run, after_s = result.run, result.after_s
        done = max(1, len(run.latencies_s))
        table.add_row(
            name if result.sends is None else f"{name}: {result.sends} send",
            format_duration(result.mean_s),
            f"{run.shares[round(after_s / run.sample_s) :].mean():.1%}",
            f"{run.swing(after_s):.1%}",
            f"{run.synchrony(after_s):.2g}x",
            f"{run.finished_by['cloud'] / done:.1%}",
            f"{run.refused / done:.1%}",
            f"{run.late / done:.1%}",
        )
    return table
