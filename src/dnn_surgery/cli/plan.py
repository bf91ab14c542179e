"""Plan where to cut a model, and say why.

Reads a problem file, a profile (with --edge-slowdown), two profiles, or profiles a MODEL here first. Imports no engine
unless it has to profile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError, ProblemError
from dnn_surgery.units import format_bandwidth, format_duration, format_size, parse_bandwidth, parse_duration

if TYPE_CHECKING:
    from rich.table import Table

    from dnn_surgery.planning import Link, Plan, Problem
    from dnn_surgery.profiling.profile import Profile

EXAMPLE = "dnn-surgery plan problem.json --bandwidth 5.85Mbit/s --rtt 40ms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `plan`."""
    parser.add_argument("what", nargs="?", metavar="PROBLEM | MODEL", help="a problem file, a profile, '-', or a model")
    parser.add_argument("--edge", metavar="FILE", help="the device's profile")
    parser.add_argument("--cloud", metavar="FILE", help="the server's profile")
    parser.add_argument("--edge-slowdown", type=float, metavar="FACTOR", help="multiplies the edge's seconds")
    parser.add_argument("--bandwidth", required=True, metavar="RATE", help="up, such as 5.85Mbit/s")
    parser.add_argument("--rtt", default="0ms", metavar="TIME", help="round trip, such as 40ms (default 0)")
    parser.add_argument("--download", metavar="RATE", help="down; counts the result's way back")
    parser.add_argument("--objective", default="latency", metavar="NAME", help="latency (default), throughput, energy")
    parser.add_argument("--rate", type=float, metavar="HZ", help="frames a second to keep up with")
    parser.add_argument(
        "--algorithm", default="exact", metavar="NAME", help="see the documentation; or module:function"
    )
    parser.add_argument("--cut", metavar="LAYER", help="force the cut after this layer")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.add_argument("--weights", metavar="FILE", help="weights of the MODEL")
    parser.add_argument("--trust-model", action="store_true", help="allow a MODEL that is code")


def run(arguments: argparse.Namespace) -> int:
    """Plans and prints."""
    from dnn_surgery.planning import Link, plan

    link = Link(
        bandwidth_bps=parse_bandwidth(arguments.bandwidth),
        rtt_s=parse_duration(arguments.rtt),
        download_bps=None if arguments.download is None else parse_bandwidth(arguments.download),
    )
    problem = _problem(arguments)
    if arguments.cut is None:
        found = plan(problem, link, arguments.objective, arguments.rate, arguments.algorithm)
    else:
        found = problem.cost(edge=_up_to(problem, arguments.cut), link=link)
    if arguments.json:
        print(found.to_json())
    else:
        _show(problem, link, found)
    return 0


def _problem(arguments: argparse.Namespace) -> Problem:
    from dnn_surgery.planning import Problem

    slowdown = 1.0 if arguments.edge_slowdown is None else arguments.edge_slowdown
    if arguments.what is None:
        if arguments.edge is None and arguments.cloud is None:
            raise InputError("nothing to plan: give a problem file, a MODEL, or --edge A.json --cloud B.json")
        edge, cloud = _profiles(arguments.edge or arguments.cloud, arguments.cloud or arguments.edge)
        return Problem.from_profiles(edge, cloud, slowdown)
    if arguments.edge or arguments.cloud:
        raise InputError(f"give either {arguments.what} or profiles (--edge, --cloud), not both")
    if arguments.what == "-" or Path(arguments.what).suffix == ".json":
        text = _read(arguments.what)
        if _schema(text).startswith("dnn-surgery/profile/"):
            profile = _parse_profile(text, arguments.what)
            return Problem.from_profiles(profile, profile, slowdown)
        if arguments.edge_slowdown is not None:
            raise InputError(
                "--edge-slowdown is for profiles and models: a problem file says both sides' seconds itself"
            )
        return Problem.from_json(text, where=arguments.what)
    profile = _measure(arguments)
    return Problem.from_profiles(profile, profile, slowdown)


def _profiles(edge: str, cloud: str) -> tuple[Profile, Profile]:
    from dnn_surgery.profiling.profile import Profile

    return Profile.load(edge), Profile.load(cloud)


def _parse_profile(text: str, where: str) -> Profile:
    from dnn_surgery.profiling.profile import Profile

    return Profile.from_json(text, where=where)


def _measure(arguments: argparse.Namespace) -> Profile:
    from dnn_surgery.model.reference import load_model
    from dnn_surgery.profiling.measure import profile

    print(f"profiling {arguments.what} on this device", file=sys.stderr)
    return profile(load_model(arguments.what, arguments.weights, trust_model=arguments.trust_model))


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ProblemError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProblemError(f"cannot read {name}: it is no text: {error}") from error


def _schema(text: str) -> str:
    """The schema a document says it has; what is no JSON at all is left for the problem's own reader to refuse."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("schema", "")) if isinstance(document, dict) else ""


def _up_to(problem: Problem, layer: str) -> list[str]:
    """The smallest partition that holds `layer`: it and all that it needs."""
    makers = {tensor.name: made.name for made in problem.layers for tensor in made.outputs}
    needs = {made.name: [makers[name] for name in made.inputs] for made in problem.layers}
    if layer not in needs:
        from dnn_surgery.model.graph import near

        raise ProblemError(f"no layer {layer!r} in {problem.name}{near(layer, needs)}")
    inside: set[str] = set()
    stack = [layer]
    while stack:
        name = stack.pop()
        if name not in inside:
            inside.add(name)
            stack.extend(needs[name])
    return sorted(inside)


def _show(problem: Problem, link: Link, found: Plan) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    rates = format_bandwidth(link.bandwidth_bps)
    if link.download_bps is not None:
        rates += f" up, {format_bandwidth(link.download_bps)} down"
    console.print(f"[bold]{escape(problem.name)}[/] on {rates}, RTT {format_duration(link.rtt_s)}")
    console.print(f"edge : {escape(_range(found.edge))}")
    console.print(f"cloud: {escape(_range(found.cloud))}")
    for tensor in found.sent:
        console.print(f"sends {escape(tensor.tensor)}: {format_size(tensor.bytes)}, {escape(tensor.codec)}")
    console.print(_stages(found))
    bound = "proved optimal" if found.optimal else "not proved optimal"
    console.print(
        f"latency {format_duration(found.latency_s)}, throughput {found.throughput_hz:.3g} frames/s, {bound} "
        f"({escape(found.algorithm)})"
    )


def _range(names: tuple[str, ...]) -> str:
    if not names:
        return "nothing"
    return f"{len(names)} layers, {names[0]} to {names[-1]}" if len(names) > 1 else names[0]


def _stages(found: Plan) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    longest = max(found.bottleneck_s, found.rtt_s, found.return_s) or 1.0
    for stage in ("edge_s", "transfer_s", "cloud_s", "rtt_s", "return_s"):
        seconds = getattr(found, stage)
        if seconds:
            table.add_row(stage.removesuffix("_s"), format_duration(seconds), "█" * round(40 * seconds / longest))
    return table
