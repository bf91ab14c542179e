"""How `dnn-surgery plan` shows a plan: the verdict, a picture of the cut, stage bars, rivals, break points."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, get_args

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnn_surgery.planning.breakpoints import (
    FASTEST_BPS,
    LEAST_SLOWDOWN,
    MOST_SLOWDOWN,
    SLOWEST_BPS,
    Axis,
    Stretch,
    breakpoints,
)
from dnn_surgery.planning.explain import Explanation, Rival, explain, kind_of, title_of
from dnn_surgery.planning.parametric import latency_breakpoints
from dnn_surgery.units import format_bandwidth, format_duration, format_size

if TYPE_CHECKING:
    from dnn_surgery.planning import Goal, Link, Plan, Problem, TierPlan

_WIDTH = 100
_BAR = 30
_SHOWN = 7
_ROWS = 9


def show(problem: Problem, link: Link, goal: Goal, plan: Plan) -> None:
    """Prints all there is to say of a plan."""
    console = _console()
    told = explain(problem, link, goal, plan)
    console.print(_question(problem, link, goal), soft_wrap=True)
    console.print(f"[bold]{escape(told.verdict)}[/].", soft_wrap=True)
    for notice in problem.notices:
        console.print(f"Take it with care: {escape(notice)}.", soft_wrap=True)
    if told.impossible:
        console.print(f"[red]This cannot run: {escape(told.impossible)}.[/]")
    console.print(_cut(plan))
    console.print(_figures(goal, plan), soft_wrap=True)
    console.print(_rivals(problem, goal, told))
    whole = sum(layer.param_bytes for layer in problem.layers)
    if goal.limits.edge_param_bytes is not None and goal.limits.edge_param_bytes < whole:
        need = f"it needs {format_size(whole)}"
        console.print(f"The edge cannot hold the whole model ({need}): frames fail when the link does.", soft_wrap=True)
    if plan.algorithm == "exact":
        _flips(console, problem, link, goal)


def show_tiers(problem: Problem, plan: TierPlan) -> None:
    """Prints an assignment to tiers."""
    console = _console()
    count = len(plan.tiers)
    proof = "proved optimal" if plan.optimal else f"within {plan.gap:.2g} of the optimum"
    console.print(f"{escape(problem.name)} on {count} tiers: latency {format_duration(plan.latency_s)}, {proof}")
    longest = max([*plan.tier_s, *(hop.transfer_s for hop in plan.hops)]) or 1.0
    table = Table(box=None, show_header=False, pad_edge=False)
    for level, (names, seconds) in enumerate(zip(plan.tiers, plan.tier_s, strict=True)):
        title = "device" if level == 0 else "cloud" if level == count - 1 else f"tier {level}"
        table.add_row(f"[bold]{title}[/]", _layers(names), format_duration(seconds), _bar(seconds, longest, "cyan"))
        if level < len(plan.hops):
            hop = plan.hops[level]
            sent = ", ".join(f"{item.tensor} {format_size(item.bytes)}" for item in hop.sent) or "nothing"
            bar = _bar(hop.transfer_s, longest, "yellow")
            table.add_row("  link", f"sends {escape(sent)}", format_duration(hop.transfer_s), bar)
    console.print(table)


def _console() -> Console:
    """As wide as the terminal; elsewhere (a file, a pipe) always the same."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def _question(problem: Problem, link: Link, goal: Goal) -> str:
    rates = format_bandwidth(link.bandwidth_bps)
    if link.download_bps is not None:
        rates += f" up, {format_bandwidth(link.download_bps)} down"
    asked = f"least {goal.objective}" if goal.objective != "throughput" else "most throughput"
    if goal.rate_hz is not None:
        asked += f" at {goal.rate_hz:.4g} frames/s"
    return f"{escape(problem.name)} on {rates}, RTT {format_duration(link.rtt_s)}: {asked}"


def _cut(plan: Plan) -> RenderableType:
    """Three bands: what runs at the edge, what goes over the link, what runs in the cloud."""
    longest = max(plan.bottleneck_s, plan.rtt_s, plan.return_s) or 1.0
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, min_width=_BAR)
    table.add_row("edge", _layers(plan.edge), format_duration(plan.edge_s), _bar(plan.edge_s, longest, "cyan"))
    sent = [f"{item.tensor}  {format_size(item.bytes)}  {item.codec}" for item in plan.sent]
    for place, item in enumerate(sent or ["nothing is sent"]):
        seconds = "" if place or not sent else format_duration(plan.transfer_s)
        bar = Text() if place or not sent else _bar(plan.transfer_s, longest, "yellow")
        table.add_row("  │ link" if place == 0 else "  │", Text(item), seconds, bar)
    if plan.rtt_s:
        table.add_row("  │", "round trip", format_duration(plan.rtt_s), _bar(plan.rtt_s, longest, "yellow"))
    table.add_row("cloud", _layers(plan.cloud), format_duration(plan.cloud_s), _bar(plan.cloud_s, longest, "green"))
    if plan.return_s:
        table.add_row("  │ back", "the result", format_duration(plan.return_s), _bar(plan.return_s, longest, "yellow"))
    return Panel(table, expand=False)


def _bar(seconds: float, longest: float, colour: str) -> Text:
    length = round(_BAR * seconds / longest)
    return Text("█" * max(length, int(seconds > 0)), style=colour)


def _layers(names: tuple[str, ...]) -> Text:
    """All names of a few layers, the first and last of many."""
    if not names:
        return Text("nothing", style="dim")
    half = _SHOWN // 2
    shown = names if len(names) <= _SHOWN else (*names[:half], f"…{len(names) - 2 * half}\u00a0more…", *names[-half:])
    return Text("  ".join(shown))


def _figures(goal: Goal, plan: Plan) -> str:
    parts = [f"latency {format_duration(plan.latency_s)}", f"throughput {plan.throughput_hz:.3g} frames/s"]
    if plan.max_rate_hz > plan.throughput_hz * (1 + 1e-9):
        parts.append(f"(up to {plan.max_rate_hz:.3g} with another cut)")
    if goal.power is not None:
        parts.append(f"energy {goal.power.energy_j(plan):.3g} J")
    if plan.mode is not None:
        parts.append(f"mode {plan.mode}")
    if plan.optimal:
        parts.append("proved optimal")
    elif plan.gap is not None:
        parts.append(f"at most {100 * plan.gap:.2g} % from the optimum")
    else:
        parts.append("no proof")
    return f"{', '.join(parts)} ({escape(plan.algorithm)})".replace(", (up", " (up")


def _rivals(problem: Problem, goal: Goal, told: Explanation) -> RenderableType:
    """The runner-up and both plain alternatives, with how much more they cost."""
    inputs = {layer.name for layer in problem.layers if not layer.inputs}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    seen: set[tuple[str, ...]] = set()
    for what, rival in (("runner-up", told.runner_up), ("alternative", told.local), ("alternative", told.upload)):
        if rival is not None and rival.plan.edge not in seen:
            seen.add(rival.plan.edge)
            title = title_of(rival.plan, kind_of(rival.plan, inputs))
            table.add_row(what, Text(title), *_rival_figures(goal, rival), rival.flaw or "")
    return table


def _rival_figures(goal: Goal, rival: Rival) -> tuple[str, str]:
    if goal.objective == "throughput":
        return f"{rival.plan.throughput_hz:.3g} frames/s", f"{100 / (1 + rival.margin) - 100:+.3g} %"
    if goal.objective == "energy" and goal.power is not None:
        figure = f"{goal.power.energy_j(rival.plan):.3g} J"
    else:
        figure = format_duration(rival.plan.latency_s)
    if rival.margin > 9:
        return figure, f"{1 + rival.margin:.3g} times as much"
    return figure, f"{100 * rival.margin:+.3g} %"


def _flips(console: Console, problem: Problem, link: Link, goal: Goal) -> None:
    """Where along the bandwidth and the edge's slow-down another plan would be best."""
    bandwidths, slowdowns = (_along(problem, link, goal, axis) for axis in get_args(Axis))
    if bandwidths is None or slowdowns is None:
        console.print("break points: not computed, the graph has too many partitions to list")
        return
    inputs = {layer.name for layer in problem.layers if not layer.inputs}
    console.print(
        Group(
            _stretches(
                "by bandwidth", [(_band(s), s, s.low <= link.bandwidth_bps < s.high) for s in bandwidths], inputs
            ),
            _stretches("by edge slow-down", [(_factor(s), s, s.low <= 1 < s.high) for s in slowdowns], inputs),
        )
    )


def _along(problem: Problem, link: Link, goal: Goal, axis: Axis) -> list[Stretch] | None:
    """By the frontier; without one the least latency's break points can still be computed."""
    if problem.frontier is not None:
        return breakpoints(problem.frontier, link, goal, axis)
    plain = goal.objective == "latency" and goal.rate_hz is None and not goal.limits.given
    return latency_breakpoints(problem, link, goal, axis) if plain else None


def _stretches(title: str, stretches: list[tuple[str, Stretch, bool]], inputs: set[str]) -> RenderableType:
    """A row for each stretch; of many those around the present one."""
    here = next((place for place, (_, _, now) in enumerate(stretches) if now), 0)
    first = max(0, min(here - _ROWS // 2, len(stretches) - _ROWS))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for place, (span, stretch, now) in list(enumerate(stretches))[first : first + _ROWS]:
        plan = stretch.plan
        what = stretch.reason if plan is None else title_of(plan, kind_of(plan, inputs)) + _coded(plan)
        mark = "◀ here" if now else f"… {first} more" if place == first and first else ""
        left = len(stretches) - first - _ROWS
        if place == first + _ROWS - 1 and left > 0:
            mark = f"… {left} more"
        table.add_row(span, Text(what or ""), mark, style="bold" if now else None)
    return table


def _coded(plan: Plan) -> str:
    """By which codecs: what tells two stretches apart in which the same tensor is sent."""
    return "".join(f", {codec}" for codec in dict.fromkeys(sent.codec for sent in plan.sent) if codec != "raw")


def _band(stretch: Stretch) -> str:
    if stretch.high >= FASTEST_BPS:
        return f"above {format_bandwidth(stretch.low)}" if stretch.low > SLOWEST_BPS else "any bandwidth"
    if stretch.low <= SLOWEST_BPS:
        return f"below {format_bandwidth(stretch.high)}"
    return f"{format_bandwidth(stretch.low)} to {format_bandwidth(stretch.high)}"


def _factor(stretch: Stretch) -> str:
    if stretch.high >= MOST_SLOWDOWN:
        return f"above {stretch.low:.3g} times" if stretch.low > LEAST_SLOWDOWN else "any slow-down"
    if stretch.low <= LEAST_SLOWDOWN:
        return f"below {stretch.high:.3g} times"
    return f"{stretch.low:.3g} to {stretch.high:.3g} times"
