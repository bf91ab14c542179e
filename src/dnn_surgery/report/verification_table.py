"""Predicted against measured, cut by cut: a table for people, a record for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from dnn_surgery.calibration.verification import Verification
from dnn_surgery.units import format_duration


def show_verification(verification: Verification, console: Console | None = None) -> None:
    """Prints a row a cut, and the median and 95th percentile of the errors."""
    console = console or Console()
    table = Table(title=f"{verification.profile.model}: predicted against measured, both sides on this device")
    table.add_column("cut", overflow="fold")
    for column in ("head", "measured", "tail", "measured", "sum", "measured", "error", "repeats within"):
        table.add_column(column, justify="right")
    for cut in verification.cuts:
        seconds = (
            *(cut.predicted_head_s, cut.measured.head_s, cut.predicted_tail_s, cut.measured.tail_s),
            *(cut.predicted_s, cut.measured.sum_s),
        )
        error, spread = f"{100 * cut.error:+.1f} %", f"{100 * cut.repeatability:.1f} %"
        table.add_row(cut.name, *map(format_duration, seconds), error, spread)
    console.print(table)
    console.print(
        f"error over {len(verification.cuts)} cuts: median {100 * verification.median_error:.1f} %, "
        f"95th percentile {100 * verification.p95_error:.1f} %; medians of {verification.profile.repeats} rounds, "
        "interleaved; repeats within: quartile spread of the measured sum"
    )


def verification_record(verification: Verification) -> dict[str, Any]:
    """What the table shows, as plain data, with the profile that predicted."""
    return {
        "schema": "dnn-surgery/verification/1",
        "model": verification.profile.model,
        "fingerprint": verification.profile.fingerprint,
        "engine": verification.profile.engine,
        "repeats": verification.profile.repeats,
        "median_error": verification.median_error,
        "p95_error": verification.p95_error,
        "cuts": [
            {
                "cut": cut.name,
                "edge": list(cut.measured.edge),
                "predicted": {"head_s": cut.predicted_head_s, "tail_s": cut.predicted_tail_s, "sum_s": cut.predicted_s},
                "measured": {key: value for key, value in asdict(cut.measured).items() if key != "edge"},
                "error": cut.error,
                "repeatability": cut.repeatability,
            }
            for cut in verification.cuts
        ],
    }
