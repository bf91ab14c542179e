"""Measure what a model costs on this device, and write it to a profile file.

Plan with two of them: dnn-surgery plan --edge pi.json --cloud server.json --bandwidth 5.85Mbit/s
"""

from __future__ import annotations

import argparse
import sys

EXAMPLE = "dnn-surgery profile resnet18 -o pi.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `profile`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the profile (default: stdout)")
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="measured rounds (default 15)")
    parser.add_argument("--json", action="store_true", help="no table: the profile alone, on stdout without -o")


def run(arguments: argparse.Namespace) -> int:
    """Measures and writes."""
    from rich.console import Console
    from rich.progress import Progress

    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.profiling.measure import profile

    graph = load_graph(arguments)
    engine = build_engine(graph, arguments)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"profiling {graph.name}", total=None)
        measured = profile(
            graph,
            engine=engine,
            repeats=arguments.repeats,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if arguments.output:
        measured.save(arguments.output)
    elif arguments.json or not sys.stdout.isatty():
        print(measured.to_json())
    if not arguments.json and (arguments.output or sys.stdout.isatty()):
        from dnn_surgery.report.profile_table import show_profile

        show_profile(measured)
    return 0
