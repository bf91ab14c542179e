"""See it work: one real network live over shaped links, on this machine alone, in under two minutes.

A cloud in a process of its own, an edge that is made slower, the links of the paper in between. The table says what to
use on which link: a split, the edge alone, or uploading a jpeg.
"""

from __future__ import annotations

import argparse
import json
import sys

EXAMPLE = "dnn-surgery demo --edge-slowdown 16 --rtt 20ms"

WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `demo`."""
    parser.add_argument(
        "--edge-slowdown",
        type=float,
        default=8.0,
        metavar="K",
        help="play a device K times slower than this (default 8)",
    )
    parser.add_argument("--rtt", default="40ms", metavar="TIME", help="round trip of every link (default 40ms)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Runs the experiments and prints what was seen; fails if a frame was lost or an exact answer was not exact."""
    from rich.console import Console

    from dnn_surgery.errors import InputError
    from dnn_surgery.evaluation.demo import run_demo
    from dnn_surgery.report.demo_tables import demo_record, show_demo
    from dnn_surgery.units import parse_duration

    if not 1 <= arguments.edge_slowdown < float("inf"):
        raise InputError(f"--edge-slowdown must be at least 1, got {arguments.edge_slowdown}")
    rtt_s = parse_duration(arguments.rtt)
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        demo = run_demo(slowdown=arguments.edge_slowdown, rtt_s=rtt_s, report=status.update)
    if arguments.json:
        print(json.dumps(demo_record(demo), indent=1))
    else:
        # A pipe has no width; tables that nobody can widen later should not be cut to a terminal's 80 columns.
        show_demo(demo, Console(width=None if sys.stdout.isatty() else WIDTH))
    sound = demo.answers.equal_results == demo.answers.exact_results
    return 0 if sound and demo.kill.results == demo.kill.equal == demo.kill.frames else 1
