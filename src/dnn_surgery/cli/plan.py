"""Plan where to cut a model, and say why.

Reads a problem file, a profile (with --edge-slowdown), two profiles, or profiles a MODEL here first. Imports no engine
unless it has to profile.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from dnn_surgery.errors import InputError, ProblemError
from dnn_surgery.units import parse_bandwidth, parse_duration, parse_size

if TYPE_CHECKING:
    from dnn_surgery.planning import Goal, Link, Plan, Problem

T = TypeVar("T")

ALGORITHMS = ["exact", "dsl", "dsh", "dads", "dsl-paper", "dsh-paper", "neurosurgeon", "edge-only", "cloud-only"]
EXAMPLE = "dnn-surgery plan problem.json --bandwidth 5.85Mbit/s --rtt 40ms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `plan`."""
    from dnn_surgery.cli.calibration_arguments import add_calibration_arguments
    from dnn_surgery.cli.problem_arguments import add_problem_arguments

    add_problem_arguments(parser)
    add_calibration_arguments(parser)
    link = parser.add_argument_group("link", "once for each pair of neighbours where a problem has more than two tiers")
    link.add_argument("--bandwidth", required=True, action="append", metavar="RATE", help="up, such as 5.85Mbit/s")
    link.add_argument("--rtt", action="append", metavar="TIME", help="round trip, such as 40ms (default 0)")
    link.add_argument("--download", action="append", metavar="RATE", help="down; counts the result's way back")
    goal = parser.add_argument_group("goal")
    goal.add_argument("--objective", default="latency", metavar="NAME", help="latency (default), throughput, energy")
    goal.add_argument("--rate", type=float, metavar="HZ", help="frames a second to keep up with")
    goal.add_argument("--deadline", metavar="TIME", help="most latency, such as 200ms")
    goal.add_argument("--memory", metavar="SIZE", help="most bytes of parameters at the edge, such as 64MiB")
    goal.add_argument("--max-data", metavar="BUDGET", help="100kB/frame, or with --rate 2GB/month (bytes up)")
    goal.add_argument("--power", metavar="WATTS,WATTS", help="of the device computing and sending, such as 3.5,1.2")
    goal.add_argument("--edge-load", type=float, default=1.0, metavar="FACTOR", help="the edge is this much slower now")
    goal.add_argument("--cloud-load", type=float, default=1.0, metavar="FACTOR", help="likewise the cloud")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--algorithm", default="exact", metavar="NAME", help=f"{', '.join(ALGORITHMS)}; or module:function"
    )
    how.add_argument("--cut", metavar="LAYER", help="force the cut after this layer")
    how.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plans and prints."""
    from dnn_surgery.cli.plan_guarded import asks_for_frames
    from dnn_surgery.cli.problem_arguments import load_problem
    from dnn_surgery.planning import Goal, plan_tiers
    from dnn_surgery.planning.algorithms import judged, plan_for

    links = _links(arguments)
    goal = _goal(arguments)
    if asks_for_frames(arguments):
        return _run_guarded(arguments, links, goal)
    problem = load_problem(arguments)
    if problem.tiers > 2 or len(links) > 1:
        if goal != Goal() or arguments.algorithm != "exact" or arguments.cut is not None:
            raise InputError("several tiers are planned for least latency alone: leave out the goal, algorithm and cut")
        tiered = plan_tiers(problem, links)
        if arguments.json:
            print(tiered.to_json())
        else:
            from dnn_surgery.cli.plan_view import show_tiers

            show_tiers(problem, tiered)
        return 0
    link = links[0]
    if arguments.cut is None:
        found = plan_for(problem, link, goal, arguments.algorithm)
    else:
        edge = _up_to(problem, arguments.cut)
        found = problem.cost(edge=edge, link=link, edge_load=goal.edge_load, cloud_load=goal.cloud_load)
        found = judged(problem, goal, replace(found, objective=goal.objective))
    if arguments.json:
        for notice in problem.notices:
            print(f"dnn-surgery: notice: {notice}", file=sys.stderr)
        print(found.to_json())
    else:
        from dnn_surgery.cli.plan_view import show

        show(problem, link, goal, found)
    return 0


def _run_guarded(arguments: argparse.Namespace, links: list[Link], goal: Goal) -> int:
    """Plans with codecs measured on frames, and proves the winner."""
    from dnn_surgery.calibration.calibration import with_cut
    from dnn_surgery.cli.plan_guarded import plan_guarded, show_guarded
    from dnn_surgery.planning.algorithms import plan_for

    if len(links) > 1:
        raise InputError("--accuracy and --calibration are for a device and a server, not for several tiers")
    link = links[0]

    def find(problem: Problem) -> Plan:
        asked = problem if arguments.cut is None else with_cut(problem, _up_to(problem, arguments.cut))
        return plan_for(asked, link, goal, arguments.algorithm)

    show_guarded(plan_guarded(arguments, find), link, goal, as_json=arguments.json)
    return 0


def _links(arguments: argparse.Namespace) -> list[Link]:
    """One link for each --bandwidth; --rtt and --download stand once for all or once for each."""
    from dnn_surgery.planning import Link

    count = len(arguments.bandwidth)
    rtts = _spread("--rtt", arguments.rtt or ["0"], count)
    downs = _spread("--download", arguments.download or [None], count)
    return [
        Link(parse_bandwidth(up), parse_duration(rtt), None if down is None else parse_bandwidth(down))
        for up, rtt, down in zip(arguments.bandwidth, rtts, downs, strict=True)
    ]


def _spread(flag: str, values: list[T], count: int) -> list[T]:
    if len(values) not in (1, count):
        raise InputError(f"{flag} is given {len(values)} times, --bandwidth {count} times")
    return values * count if len(values) == 1 else values


def _goal(arguments: argparse.Namespace) -> Goal:
    from dnn_surgery.planning import Goal, Limits, Power, parse_budget

    power = None
    if arguments.power is not None:
        try:
            compute_w, send_w = (float(watts) for watts in arguments.power.split(","))
        except ValueError:
            raise InputError(f"--power needs two numbers of watts such as 3.5,1.2, got {arguments.power!r}") from None
        power = Power(compute_w, send_w)
    return Goal(
        objective=arguments.objective,
        rate_hz=arguments.rate,
        edge_load=arguments.edge_load,
        cloud_load=arguments.cloud_load,
        limits=Limits(
            edge_param_bytes=None if arguments.memory is None else parse_size(arguments.memory),
            deadline_s=None if arguments.deadline is None else parse_duration(arguments.deadline),
            frame_bytes=None if arguments.max_data is None else parse_budget(arguments.max_data, arguments.rate),
        ),
        power=power,
    )


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
