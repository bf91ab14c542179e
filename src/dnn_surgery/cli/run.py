"""Run the edge: frames in, results out, each frame split between this device and the server.

Measures this device and the link, asks the server for its profile, plans, then runs. From then on the cut follows the
link and the load of both sides. A frame that the server cannot finish in time is finished here. With --local nothing
is sent at all. SIGINT and SIGTERM take in no more frames, answer those under way, and end with the receipt.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dnn_surgery.cli.metrics import counted
from dnn_surgery.cli.run_options import RunOptions, add_run_arguments, gather
from dnn_surgery.errors import InputError, SourceError

if TYPE_CHECKING:
    from dnn_surgery.calibration.calibration import Calibration
    from dnn_surgery.edge.connection import Connection
    from dnn_surgery.edge.frame import NamedInputs
    from dnn_surgery.edge.intake import Intake, TakenFrame
    from dnn_surgery.edge.runtime import Edge
    from dnn_surgery.edge.sinks import Sink
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.report.run_output import RunOutput

# How fast a video is played that was made of files.
FILE_RATE_HZ = 25.0

EXAMPLE = "dnn-surgery run efficientnet_lite0 --server 192.168.1.20:50051 --source pictures/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`."""
    from dnn_surgery.cli.calibration_arguments import add_calibration_arguments
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    add_calibration_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until the sources end, or a signal comes."""
    from dnn_surgery.cli.calibration_arguments import calibration_of
    from dnn_surgery.cli.fetching import fetch_if_asked
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.profile_file import load_profile, say_differences
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.cli.standard_server import connect_to_standard
    from dnn_surgery.edge.sinks import Sinks
    from dnn_surgery.report.run_output import RunOutput

    options = gather(arguments)
    whole_s: float | None = None
    unreadable: list[SourceError] = []

    def note(error: SourceError) -> None:
        unreadable.append(error)
        _say(f"error: {error}")

    with ExitStack() as stack:
        # Before the model is loaded: that nothing can be read should not take as long to say as a model takes to load.
        intake = stack.enter_context(_open_sources(options, note))
        edge_profile = load_profile(arguments)
        fetch_if_asked(arguments)
        graph = load_graph(arguments)
        if graph.picture is None:
            raise InputError(f"{graph.name} takes no pictures ({', '.join(graph.inputs)}); run feeds it pictures only")
        engine = stack.enter_context(build_engine(graph, arguments))
        say_differences(edge_profile, engine)
        output = RunOutput(graph, as_json=options.as_json, view=options.view, trace=options.trace)
        stack.enter_context(output)
        if options.server is None:
            stream = _local(engine, options, output).stream
        elif options.standard:
            stream = stack.enter_context(connect_to_standard(engine, edge_profile, options, output)).stream
        else:
            calibration = None if options.raw else calibration_of(arguments, graph, source=options.recorded)
            connection = stack.enter_context(_connect(engine, edge_profile, options, calibration, output))
            stream, whole_s = connection.stream, sum(layer.edge_s for layer in connection.problem.layers)
        sinks = stack.enter_context(Sinks(_sinks(options, graph, output), on_error=_say))
        stack.enter_context(until_signalled(intake.close))
        frames = _frames(sinks.watch(intake), graph, options, output)
        for result in counted(stream(frames, in_flight=options.in_flight), options.metrics, whole_s):
            output.result(result)
            sinks.result(result)
        output.finish(skipped={name: counts.skipped for name, counts in intake.counts().items()})
    return unreadable[0].exit_code if unreadable else 0


def _open_sources(options: RunOptions, on_error: Callable[[SourceError], None]) -> Intake:
    from dnn_surgery.edge.intake import Intake

    return Intake(
        options.sources, overload=options.overload, clock=time.perf_counter, on_error=on_error, on_notice=_say
    )


def _sinks(options: RunOptions, graph: ModelGraph, output: RunOutput) -> Iterator[Sink]:
    """Where results go beside the terminal."""
    from dnn_surgery.edge.live_video import is_live
    from dnn_surgery.edge.sinks import AnnotatedVideo, JsonLines

    if options.json_path is not None:
        yield JsonLines(options.json_path, output.record)
    if options.save is not None:
        # A file is played at its usual speed, however long it took to go through it.
        live = any(spec.rate_hz is not None or is_live(str(spec.url)) for spec in options.sources)
        rate_hz = None if live else FILE_RATE_HZ
        yield AnnotatedVideo(graph, options.save, sources=[spec.name for spec in options.sources], rate_hz=rate_hz)


def _frames(
    taken_in: Iterable[TakenFrame], graph: ModelGraph, options: RunOptions, output: RunOutput
) -> Iterator[NamedInputs]:
    """Frames as the model takes them, until the sources end or there are as many as are wanted."""
    from dnn_surgery.edge.frame import NamedInputs
    from dnn_surgery.edge.sources import fit

    picture, several = graph.picture, len(options.sources) > 1
    if picture is None:
        return
    for taken in taken_in:
        height, width = taken.pixels.shape[:2]
        pixels = {picture.tensor: fit(taken.pixels, picture)}
        frame = NamedInputs(taken.name, pixels, (width, height), taken.source if several else "", taken.taken_s)
        output.receipt.sample_picture(taken.index, frame, picture.tensor)
        yield frame
        # Not one more is taken in, which would then have no answer.
        if options.frames is not None and taken.index + 1 >= options.frames:
            return


def _local(engine: Engine, options: RunOptions, output: RunOutput) -> Edge:
    """Everything here."""
    from dnn_surgery.edge.runtime import Edge

    edge = Edge(engine, [layer.name for layer in engine.graph.layers], slowdown=options.slowdown)
    output.begin()
    return edge


def _connect(
    engine: Engine,
    edge_profile: Profile | None,
    options: RunOptions,
    calibration: Calibration | None,
    output: RunOutput,
) -> Connection:
    from dnn_surgery.edge.connection import connect

    connection = connect(
        engine.graph,
        options.server or "",
        cut=options.cut,
        link=options.link,
        edge_profile=edge_profile,
        objective=options.objective,
        rate_hz=options.rate_hz,
        algorithm=options.algorithm,
        engine=engine,
        deadline_s=options.deadline_s,
        memory_bytes=options.memory_bytes,
        budget=options.budget,
        estimate=options.estimate,
        iperf3_port=options.iperf3_port,
        slowdown=options.slowdown,
        credentials=options.credentials,
        calibration=calibration,
        report=_say,
        on_event=output.event,
    )
    output.begin(connection)
    return connection


def _say(text: str) -> None:
    # One write a line: sources and events speak from threads of their own, and print writes the line's end apart.
    sys.stderr.write(f"dnn-surgery: {text}\n")
