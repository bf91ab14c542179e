"""Run the edge: frames in, results out, each frame split between this device and the server.

Measures this device and the link, asks the server for its profile, plans, then runs. From then on the cut follows the
link and the load of both sides. A frame that the server cannot finish in time is finished here. With --local nothing
is sent at all. SIGINT and SIGTERM take in no more frames, answer those under way, and end with the receipt.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dnn_surgery.cli.run_options import RunOptions, add_run_arguments, gather
from dnn_surgery.errors import InputError, SourceError

if TYPE_CHECKING:
    from dnn_surgery.edge.connection import Connection
    from dnn_surgery.edge.frame import NamedInputs
    from dnn_surgery.edge.intake import Intake
    from dnn_surgery.edge.result import FrameResult
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.report.run_output import RunOutput

EXAMPLE = "dnn-surgery run efficientnet_lite0 --server 192.168.1.20:50051 --source pictures/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until the sources end, or a signal comes."""
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.edge.intake import Intake
    from dnn_surgery.report.run_output import RunOutput

    options = gather(arguments)
    unreadable: list[SourceError] = []

    def note(error: SourceError) -> None:
        unreadable.append(error)
        _say(f"error: {error}")

    with ExitStack() as stack:
        # Before the model is loaded: that nothing can be read should not take as long to say as a model takes to load.
        intake = stack.enter_context(
            Intake(
                options.sources,
                overload=options.overload,
                clock=time.perf_counter,
                on_error=note if _may_leave_out(options) else None,
                on_notice=_say,
            )
        )
        graph = load_graph(arguments)
        if graph.picture is None:
            raise InputError(f"{graph.name} takes no pictures ({', '.join(graph.inputs)}); run feeds it pictures only")
        engine = stack.enter_context(build_engine(graph, arguments))
        output = stack.enter_context(
            RunOutput(graph, as_json=options.as_json, view=options.view, trace=options.trace)
        )
        frames = _frames(intake, graph, options, output)
        results, connection = _start(graph, engine, options, frames, output, stack)
        stack.enter_context(until_signalled(intake.close))
        for result in results:
            output.result(result)
        output.finish(
            budget_left_bytes=_budget_left(options, connection),
            skipped={name: counts.skipped for name, counts in intake.counts().items()},
        )
    return unreadable[0].exit_code if unreadable else 0
