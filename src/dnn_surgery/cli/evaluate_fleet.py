"""Many devices on recorded links with one server between them, simulated: does the fleet settle, and how well?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.cli.evaluate_traces import TRACE_FOLDERS, problems, trace_files
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.planning import Problem

EXAMPLE = "dnn-surgery evaluate fleet --devices 200 --workers 4 -o build/fleet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate fleet`."""
    parser.add_argument("--devices", type=int, default=100, metavar="N", help="how many (default 100)")
    parser.add_argument("--workers", type=int, metavar="N", help="tails that run at once (default: 1 for 25 devices)")
    parser.add_argument("--max-queue", type=int, metavar="N", help="requests that may wait (default: one a worker)")
    parser.add_argument("--rate", type=float, default=1.0, metavar="HZ", help="frames a second of each (default 1)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="simulated (default 60)")
    parser.add_argument("--rtt", default="40ms", metavar="TIME", help="round trip (default 40ms)")
    parser.add_argument(
        "--trace",
        action="append",
        metavar="FILE",
        help="a trace or a folder of them, which the devices share out; may be repeated "
        f"(default: the first folder there is of {', '.join(TRACE_FOLDERS)})",
    )
    parser.add_argument("--problem", metavar="FILE", help="a problem file (default: resnet18, the edge 8 times slower)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (default 0)")
    parser.add_argument("-o", "--output", metavar="DIR", help="writes fleet.png there (extra report)")


def run(arguments: argparse.Namespace) -> int:
    """Runs the experiment, prints a table, draws the picture."""
    from rich.console import Console

    from dnn_surgery.cloud.limits import ServingLimits
    from dnn_surgery.evaluation.fleet import Fleet
    from dnn_surgery.evaluation.fleet_compare import compare
    from dnn_surgery.network.traces import read_trace
    from dnn_surgery.report.fleet_table import fleet_table
    from dnn_surgery.units import parse_duration

    if arguments.devices < 1:
        raise InputError(f"--devices must be at least 1, got {arguments.devices}")
    workers = arguments.workers or max(1, arguments.devices // 25)
    problem = _problem(arguments.problem)
    fleet = Fleet(
        problem,
        [read_trace(path) for path in trace_files(arguments.trace)],
        arguments.devices,
        workers=workers,
        rate_hz=arguments.rate,
        duration_s=arguments.seconds,
        rtt_s=parse_duration(arguments.rtt),
        limits=ServingLimits(queued=arguments.max_queue or workers),
        seed=arguments.seed,
    )
    with Console(stderr=True).status("") as status:
        results = compare(fleet, status.update)
    # A pipe has no width; see `evaluate traces`.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(fleet_table(fleet, results))
    if arguments.output is not None:
        from dnn_surgery.report.figures.canvas import write
        from dnn_surgery.report.figures.fleet import fleet_figure

        folder = Path(arguments.output)
        folder.mkdir(parents=True, exist_ok=True)
        console.print(f"written to {write(fleet_figure(fleet, results), folder / 'fleet.png')}")
    return 0


def _problem(name: str | None) -> Problem:
    found = problems(None if name is None else [name], private=False)
    return next(problem for problem in found if name is not None or problem.name == "resnet18")
