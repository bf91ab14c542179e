"""The paper's bar charts and curves with ours beside: figures 12 to 16, 17 and 18."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.paper.comparison import Comparison
from dnn_surgery.evaluation.paper.experiments import Outcome, outcomes, over_trace
from dnn_surgery.evaluation.paper.setups import Setup
from dnn_surgery.planning import Link
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, UPLOAD, clean, new_figure, plain_log

# The paper first, then our set-ups in the order they are given.
_COLOURS = ("#333333", EDGE, LINK, CLOUD, UPLOAD)
# Where curves lie upon each other, one sees that there are two.
_DASHES = ("-", "-", (0, (4, 3)), "-.", ":")


def speedup_bars(rows: Sequence[Comparison], title: str) -> Figure:
    """Grouped bars of one figure: for each network or link the paper's number, then each set-up's; latency, throughput.

    `rows` are the comparisons of one figure and one strategy.
    """
    figure, panels = new_figure(11.5, 4.4, columns=2)
    setups = list(dict.fromkeys(row.setup for row in rows))
    for axes, quantity in zip(panels, ("latency", "throughput"), strict=True):
        some = [row for row in rows if row.quantity.endswith(quantity)]
        names = list(dict.fromkeys(_name(row, some) for row in some))
        width = 0.8 / (len(setups) + 1)
        for number, setup in enumerate(("the paper", *setups)):
            heights = [_height(some, name, setup) for name in names]
            places = np.arange(len(names)) + (number - len(setups) / 2) * width
            axes.bar(places, heights, width, color=_COLOURS[number], label=setup)
        axes.axhline(1, color=QUIET, linewidth=0.8)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(f"{quantity}, times better")
        clean(axes)
        axes.grid(visible=False, axis="x")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _name(row: Comparison, rows: Sequence[Comparison]) -> str:
    """What tells the bars of a figure apart."""
    return row.network if len({one.network for one in rows}) > 1 else row.link


def _height(rows: Sequence[Comparison], name: str, setup: str) -> float:
    for row in rows:
        if _name(row, rows) == name and (setup in ("the paper", row.setup)):
            return (row.published if setup == "the paper" else row.ours) or 0.0
    return 0.0


def latency_by_bandwidth(setups: Sequence[Setup], network: str) -> Figure:
    """Figure 17: what DADS gains over Edge-Only at one frame a second against bandwidth; thick where it is heavy."""
    figure, (axes,) = new_figure(8.0, 4.6)
    rates = np.geomspace(0.1e6, 30e6, 80)
    for setup, colour, dashes in zip(setups, _COLOURS[1:], _DASHES[1:], strict=False):
        found = [_dads(setup, network, rate) for rate in rates]
        gain = np.array([one.speedup[0] for one in found])
        heavy = np.array([one.plan.mode != "light" for one in found])
        axes.plot(rates / 1e6, gain, color=colour, linewidth=2, linestyle=dashes, label=setup.name)
        axes.plot(rates / 1e6, np.where(heavy, gain, np.nan), color=colour, linewidth=5, alpha=0.5)
    axes.axvline(published.MODE_SWITCH_MBPS, color=QUIET, linestyle="--", linewidth=1)
    axes.annotate(
        "the paper: light from here on",
        (published.MODE_SWITCH_MBPS, 1),
        xytext=(4, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize=8,
    )
    axes.set(xscale="log", xlabel="bandwidth, Mbit/s", ylabel="latency, times better than edge-only")
    clean(axes)
    plain_log(axes.xaxis)
    legend = axes.legend(frameon=False, fontsize=8, title="thick: heavy or congested", title_fontsize=8)
    legend.set_alignment("left")
    axes.set_title(f"figure 17: {network}, 1 frame/s", fontsize=11)
    return figure


def over_bandwidth_trace(setups: Sequence[Setup], network: str) -> Figure:
    """Figure 18: the paper's bandwidth over time, its speed-up, and ours on the same bandwidth."""
    figure, (above, below) = new_figure(9.0, 5.6, rows=2)
    times = range(len(published.TRACE_MBPS))
    above.step(times, published.TRACE_MBPS, where="post", color=LINK)
    above.set_ylabel("Mbit/s")
    below.plot(times, published.TRACE_SPEEDUP, color=_COLOURS[0], marker="o", markersize=3, label="the paper")
    for setup, colour, dashes in zip(setups, _COLOURS[1:], _DASHES[1:], strict=False):
        gains = [one.speedup[0] for _, one in over_trace(setup, network)]
        below.plot(times, gains, color=colour, linestyle=dashes, marker="o", markersize=3, label=setup.name)
    below.set(xlabel="point of the paper's trace", ylabel="latency, times better\nthan edge-only")
    for axes in (above, below):
        axes.set_xticks(times[::2])
        clean(axes)
    below.legend(frameon=False, fontsize=8)
    above.set_title(f"figure 18: {network} over a measured bandwidth", fontsize=11)
    return figure


def _dads(setup: Setup, network: str, bandwidth_bps: float) -> Outcome:
    experiment = outcomes(setup, network, "", Link(bandwidth_bps), 1.0)
    return next(one for one in experiment if one.strategy == "dads")
