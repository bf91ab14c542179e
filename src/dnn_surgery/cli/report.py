"""Make pictures and the what-if page: what each layer costs, where to cut, and whether to split at all.

Works from a problem file or profiles alone. Writes PNGs and one report.html that needs no server: sliders for
bandwidth, round trip, edge slow-down and cloud load move the cut in the browser.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError
from dnn_surgery.units import parse_bandwidth, parse_duration, parse_size

if TYPE_CHECKING:
    from dnn_surgery.planning import Problem

EXAMPLE = (
    "dnn-surgery report --edge pi.json --cloud server.json --bandwidth 5.85Mbit/s --rtt 40ms --jpeg 26kB -o report"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `report`."""
    from dnn_surgery.cli.problem_arguments import add_problem_arguments

    add_problem_arguments(parser)
    parser.add_argument(
        "--bandwidth", default="5.85Mbit/s", metavar="RATE", help="up (default: 5.85Mbit/s, the paper's 4G)"
    )
    parser.add_argument("--rtt", default="40ms", metavar="TIME", help="round trip (default: 40ms)")
    parser.add_argument(
        "--objective", choices=("latency", "throughput"), default="latency", help="of the plan shown (default: latency)"
    )
    parser.add_argument("--jpeg", metavar="SIZE", help="the input may also travel as a jpeg of so many bytes")
    parser.add_argument("--frames", metavar="FILE", help="what `run --json` printed: adds its timeline")
    parser.add_argument("-o", "--output", default="report", metavar="DIR", help="folder to write to (default: report)")


def run(arguments: argparse.Namespace) -> int:
    """Writes the pictures, then the page, and says where they are."""
    from dnn_surgery.cli.problem_arguments import load_problem
    from dnn_surgery.planning import Goal, Link
    from dnn_surgery.report.report import write_report

    link = Link(parse_bandwidth(arguments.bandwidth), parse_duration(arguments.rtt))
    problem = load_problem(arguments)
    if arguments.jpeg is not None:
        problem = _with_jpeg(problem, parse_size(arguments.jpeg))
    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    frames = None if arguments.frames is None else Path(arguments.frames)
    for path in write_report(problem, link, folder, goal=Goal(arguments.objective), frames=frames):
        print(path)
    return 0


def _with_jpeg(problem: Problem, size_bytes: int) -> Problem:
    """The inputs may also travel as a jpeg; what encoding it takes is not counted, which favours the upload."""
    from dnn_surgery.planning import CodecCost

    inputs = [layer for layer in problem.layers if not layer.inputs]
    if len(inputs) != 1 or len(inputs[0].outputs) != 1:
        raise InputError(f"--jpeg is for models with one input; {problem.name} has {len(inputs)}")
    (tensor,) = inputs[0].outputs
    others = [way for way in tensor.ways if way.name != "jpeg"]
    return problem.with_codecs({tensor.name: [*others, CodecCost("jpeg", size_bytes)]})
