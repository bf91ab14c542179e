"""Edge, transfer and cloud seconds of every cut along the network at one link (figure 2 of the paper)."""

from __future__ import annotations

from matplotlib.figure import Figure

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning import Link, Plan, Problem
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, clean, headline, legend_above, new_figure, short
from dnn_surgery.units import format_bandwidth, format_duration

_MOST = 48


def prefix_plans(problem: Problem, link: Link) -> list[tuple[str, Plan]]:
    """A plan for each place in the topological order: everything up to this layer at the edge. With its last layer."""
    plans = []
    names = problem.structure.names
    inputs = sum(1 for layer in problem.layers if not layer.inputs)
    for count in range(inputs, len(names) + 1):
        try:
            plans.append((names[count - 1], problem.cost(edge=names[:count], link=link)))
        except InfeasibleError:
            continue  # pinned otherwise, or it may not leave
    return plans


def stage_bars(problem: Problem, link: Link, best: Plan) -> Figure:
    """A stacked bar a cut; `best`, which need not be a prefix, stands first."""
    plans = prefix_plans(problem, link)
    left_out = len(plans) - _MOST
    if left_out > 0:
        kept = {name for name, _ in sorted(plans, key=lambda item: item[1].latency_s)[:_MOST]}
        plans = [item for item in plans if item[0] in kept]
    bars = [("best plan", best), *plans]
    figure, (axes,) = new_figure(max(7.0, 0.36 * len(bars)), 5.0)
    places = range(len(bars))
    bottom = [0.0] * len(bars)
    for label, colour, key in (
        ("edge", EDGE, "edge_s"),
        ("transfer", LINK, "transfer_s"),
        ("round trip", QUIET, "rtt_s"),
        ("cloud", CLOUD, "cloud_s"),
    ):
        heights = [getattr(plan, key) * 1e3 for _, plan in bars]
        if not any(heights):
            continue
        axes.bar(places, heights, bottom=bottom, color=colour, label=label, width=0.75)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.axhline(best.latency_s * 1e3, color="#333333", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, min(max(bottom), 12 * best.latency_s * 1e3) * 1.05)
    for place, height in zip(places, bottom, strict=True):
        if height > axes.get_ylim()[1]:
            axes.annotate(
                format_duration(height / 1e3),
                (place, 0.985),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7,
                rotation=90,
                color="white",
            )
    axes.set_xticks(places, [short(name) for name, _ in bars], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("latency, ms")
    clean(axes)
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.01)
    legend_above(axes)
    here = f"{format_bandwidth(link.bandwidth_bps)}, RTT {format_duration(link.rtt_s)}"
    text = f"{headline(problem.name)}: stages of every cut at {here}"
    if left_out > 0:
        text += f" (the {_MOST} best of {_MOST + left_out})"
    axes.set_title(text, fontsize=11, pad=20)
    return figure
