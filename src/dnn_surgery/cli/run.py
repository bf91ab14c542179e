"""Run the edge: frames in, results out, each frame split between this device and the server.

Measures this device and the link, asks the server for its profile, plans, then runs. A frame that the server cannot
finish in time is finished here. With --local nothing is sent at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from dnn_surgery.cli.model_arguments import MODEL_KEYS
from dnn_surgery.errors import InputError, SourceError

if TYPE_CHECKING:
    from dnn_surgery.edge.intake import SourceSpec, TakenFrame
    from dnn_surgery.edge.result import FrameResult
    from dnn_surgery.edge.runtime import NamedInputs
    from dnn_surgery.edge.sinks import Sink
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.planning import Link
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.report.frame_lines import FrameLines

# Keys of a configuration file that are acted on here, beside the sources.
_SUPPORTED = (
    *MODEL_KEYS,
    *("server.address", "server.port", "profiles.edge", "plan.objective", "plan.deadline"),
    *("sources", "overload", "output.json"),
)

# How fast a video is played that was made of files.
FILE_RATE_HZ = 25.0

EXAMPLE = "dnn-surgery run efficientnet_lite0 --server 192.168.1.20:50051 --source pictures/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    parser.add_argument("--bundle", action="store_true", help="fetch the model from the server (done if none is named)")
    parser.add_argument(
        "--source",
        action="append",
        metavar="WHAT",
        help="a picture, folder, glob, video, camera's number, rtsp:// or other URL, or a .streams list; repeatable",
    )
    parser.add_argument(
        "--overload", choices=("skip", "lower-rate", "block"), help="when frames come too fast (default: skip)"
    )
    parser.add_argument("--save", metavar="FILE.mp4", help="write a video with the answers drawn into the frames")
    parser.add_argument("--server", metavar="HOST:PORT", help="the cloud (default: 127.0.0.1:50051)")
    parser.add_argument(
        "--server-protocol",
        choices=("own", "oip"),
        default="own",
        help="own (default): dnn-surgery serve; oip: any server of the Open Inference Protocol that serves the tails "
        "which export --format triton wrote",
    )
    parser.add_argument("--cloud-profile", metavar="FILE", help="the server's profile (default: asked of the server)")
    parser.add_argument("--local", action="store_true", help="run everything here, without a server")
    parser.add_argument("--cut", metavar="LAYER", help="cut after this layer instead of planning")
    parser.add_argument("--bandwidth", metavar="RATE", help="up, such as 5.85Mbit/s (default: probed)")
    parser.add_argument("--rtt", metavar="TIME", help="round trip, such as 40ms; goes with --bandwidth (default: 0)")
    parser.add_argument("--profile", metavar="FILE", help="this device's profile (default: measured now)")
    parser.add_argument(
        "--objective", choices=("latency", "throughput"), help="what the plan makes best (default: latency)"
    )
    parser.add_argument("--algorithm", default="exact", metavar="NAME", help="how it plans (default: exact)")
    parser.add_argument("--deadline", metavar="TIME", help="for the server's answer (default: from the prediction)")
    parser.add_argument("--in-flight", type=int, default=3, metavar="N", help="frames under way at once (default 3)")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after so many frames")
    parser.add_argument("--emulate-slowdown", type=float, default=1.0, metavar="K", help="play a device K times slower")
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")
    parser.add_argument("--json", action="store_true", help="one JSON line a frame on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Runs until the source ends."""
    from dnn_surgery.cli.fetching import fetch_if_asked
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.profile_file import load_profile, say_differences
    from dnn_surgery.cli.standard_server import connected_to_standard
    from dnn_surgery.edge.intake import Intake
    from dnn_surgery.edge.sinks import Sinks
    from dnn_surgery.edge.source_specs import read_sources
    from dnn_surgery.report.frame_lines import FrameLines

    specs = read_sources(arguments.source or [])
    if arguments.config is not None:
        # Read in any case: it says more than the sources.
        configured = _configured(arguments)
        specs = specs or configured
    if not specs:
        raise InputError("no --source given: a picture, a folder, a glob, or a video file")
    _check(arguments)
    unreadable: list[SourceError] = []

    def note(error: SourceError) -> None:
        unreadable.append(error)
        print(f"dnn-surgery: error: {error}", file=sys.stderr)

    with ExitStack() as stack:
        # Before the model is loaded: that nothing can be read should not take as long to say as a model takes to load.
        intake = stack.enter_context(
            Intake(specs, overload=arguments.overload or "skip", on_error=note, on_notice=_say)
        )
        edge_profile = load_profile(arguments)
        fetch_if_asked(arguments)
        graph = load_graph(arguments)
        if graph.picture is None:
            raise InputError(f"{graph.name} takes no pictures ({', '.join(graph.inputs)}); run feeds it pictures only")
        engine = build_engine(graph, arguments)
        say_differences(edge_profile, engine)
        lines = FrameLines(graph, as_json=arguments.json)
        sinks = stack.enter_context(Sinks(_sinks(arguments, specs, graph, lines), on_error=_say))
        frames = _frames(sinks.watch(intake), graph, arguments.frames)
        if arguments.local:
            from dnn_surgery.edge.runtime import Edge

            everything = [layer.name for layer in graph.layers]
            edge = Edge(engine, everything, slowdown=arguments.emulate_slowdown)
            lines.cut(tuple(everything))
            results = edge.stream(frames, in_flight=1)
        else:
            connect = connected_to_standard if arguments.server_protocol == "oip" else _connected
            stream = stack.enter_context(connect(engine, edge_profile, arguments, _link(arguments), lines))
            results = stream(frames, in_flight=arguments.in_flight)
        for result in results:
            lines.result(result)
            sinks.result(result)
        lines.summary()
    return unreadable[0].exit_code if unreadable else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that make no sense, alone or together."""
    for name in ("in_flight", "frames"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if arguments.local:
        remote = ("server", "cut", "bandwidth", "rtt", "profile", "deadline", "cloud_profile")
        if given := [f"--{name.replace('_', '-')}" for name in remote if getattr(arguments, name) is not None]:
            raise InputError(f"--local sends nothing, so it does not go with {', '.join(given)}")

    if arguments.server_protocol == "own" and arguments.cloud_profile is not None:
        raise InputError("--cloud-profile goes with --server-protocol oip; dnn-surgery serve is asked for its profile")


def _configured(arguments: argparse.Namespace) -> list[SourceSpec]:
    """Takes what no flag says from the configuration file; its sources."""
    from dnn_surgery.cli.model_arguments import fill_from_configuration
    from dnn_surgery.edge.intake import SourceSpec
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT

    configuration = fill_from_configuration(arguments)
    server, plan, sources = configuration.server, configuration.plan, configuration.sources
    supported = [*_SUPPORTED]
    if configuration.profiles.cloud_auto:
        supported.append("profiles.cloud")
    configuration.check_supported(supported, "run")
    if arguments.server is None and (server.address or server.port):
        arguments.server = f"{server.address or DEFAULT_HOST}:{server.port or DEFAULT_PORT}"
    arguments.profile = arguments.profile or configuration.profiles.edge
    arguments.objective = arguments.objective or plan.objective
    if arguments.deadline is None and plan.deadline_s is not None:
        arguments.deadline = f"{plan.deadline_s}s"
    arguments.overload = arguments.overload or configuration.overload
    arguments.output = configuration.output.json
    return [SourceSpec(name, source.url, source.rate_hz, source.priority or 0) for name, source in sources.items()]


def _sinks(
    arguments: argparse.Namespace, specs: list[SourceSpec], graph: ModelGraph, lines: FrameLines
) -> Iterator[Sink]:
    from dnn_surgery.edge.live_video import is_live
    from dnn_surgery.edge.sinks import AnnotatedVideo, JsonLines

    output = getattr(arguments, "output", None)
    if output == "-":
        lines.as_json = True
    elif output is not None:
        yield JsonLines(output, lines.record)
    if arguments.save is not None:
        # A file is played at its usual speed, however long it took to go through it.
        live = any(spec.rate_hz is not None or is_live(str(spec.url)) for spec in specs)
        yield AnnotatedVideo(
            graph, arguments.save, sources=[spec.name for spec in specs], rate_hz=None if live else FILE_RATE_HZ
        )


def _frames(taken: Iterable[TakenFrame], graph: ModelGraph, limit: int | None) -> Iterator[NamedInputs]:
    from dnn_surgery.edge.runtime import NamedInputs
    from dnn_surgery.edge.sources import fit

    picture = graph.picture
    if picture is None:
        return
    for frame in taken:
        height, width = frame.pixels.shape[:2]
        yield NamedInputs(frame.name, {picture.tensor: fit(frame.pixels, picture)}, (width, height))
        if limit is not None and frame.index + 1 >= limit:
            return  # not one more is taken in, which would have no answer


def _say(text: str) -> None:
    print(f"dnn-surgery: {text}", file=sys.stderr)


@contextmanager
def _connected(
    engine: Engine, edge_profile: Profile | None, arguments: argparse.Namespace, link: Link | None, lines: FrameLines
) -> Iterator[Callable[..., Iterator[FrameResult]]]:
    from dnn_surgery.edge.connection import connect
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT
    from dnn_surgery.units import parse_duration

    with connect(
        engine.graph,
        arguments.server or f"{DEFAULT_HOST}:{DEFAULT_PORT}",
        cut=arguments.cut,
        link=link,
        edge_profile=edge_profile,
        objective=arguments.objective or "latency",
        algorithm=arguments.algorithm,
        engine=engine,
        deadline_s=parse_duration(arguments.deadline) if arguments.deadline else None,
        slowdown=arguments.emulate_slowdown,
        report=_say,
    ) as connection:
        lines.plan(connection.plan, connection.link)
        yield connection.stream


def _link(arguments: argparse.Namespace) -> Link | None:
    from dnn_surgery.planning import Link
    from dnn_surgery.units import parse_bandwidth, parse_duration

    if arguments.bandwidth is None:
        if arguments.rtt is not None:
            raise InputError("--rtt goes with --bandwidth; without both the link is probed")
        return None
    return Link(
        bandwidth_bps=parse_bandwidth(arguments.bandwidth),
        rtt_s=parse_duration(arguments.rtt) if arguments.rtt is not None else 0.0,
    )
