"""How long `dnn-surgery plan` takes as a whole command, beside the interpreter alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.figure import Figure, interleaved, quartile_range

PROBLEM = Path(__file__).parents[1] / "tests" / "planning" / "data" / "paper-tiny-yolov2.json"


def run() -> list[Figure]:
    """A problem file of the paper's tiny YOLOv2, as JSON."""
    command = [sys.executable, "-m", "dnn_surgery", "plan", str(PROBLEM), "--bandwidth", "5.85Mbit/s", "--json"]
    plan_s, nothing_s = interleaved(
        [
            lambda: subprocess.run(command, check=True, capture_output=True),
            lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        ],
        repeats=9,
    )
    return [
        Figure("plan, whole command", statistics.median(plan_s), "s", at_most=1.0, spread=quartile_range(plan_s)),
        Figure("python alone", statistics.median(nothing_s), "s", spread=quartile_range(nothing_s)),
    ]
