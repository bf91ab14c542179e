"""Latency against bandwidth: one line a cut, their envelope, and where the best cut changes (figure 3 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from dnn_surgery.planning import Frontier, Goal, Link
from dnn_surgery.planning.breakpoints import breakpoints
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, clean, mark_networks, new_figure, short
from dnn_surgery.report.options import KINDS, Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"local": EDGE, "upload": CLOUD, "split": QUIET}
_SHOWN = 400  # lines; more are a grey carpet


def latency_by_bandwidth(options: Options, table: Frontier, link: Link) -> Figure:
    """The envelope is exact: its break points are computed, not sampled."""
    figure, (axes,) = new_figure(9.5, 5.2)
    rates = np.geomspace(1e5, 1e8, 240)
    latency_ms = options.latency_s(rates, link.rtt_s).T * 1e3
    order = np.argsort(latency_ms.min(axis=1))[:_SHOWN]
    for row in order[::-1]:
        kind = KINDS[options.kind[row]]
        plain = kind == "split"
        axes.plot(
            rates / 1e6,
            latency_ms[row],
            color=_COLOURS[kind],
            alpha=0.35 if plain else 1,
            linewidth=0.7 if plain else 1.6,
        )
    envelope = latency_ms.min(axis=0)
    axes.plot(rates / 1e6, envelope, color=LINK, linewidth=3.2, label="best cut")
    for kind, text in (("local", "stay local"), ("upload", "upload the input"), ("split", "a split")):
        axes.plot([], [], color=_COLOURS[kind], label=text)
    axes.set(xscale="log", yscale="log", xlabel="bandwidth, Mbit/s", ylabel="latency, ms")
    axes.set_ylim(envelope.min() * 0.8, min(latency_ms.max(), envelope.max() * 8))
    clean(axes)
    mark_networks(axes, rates[0] / 1e6, rates[-1] / 1e6)
    _name_stretches(axes, options, table, link)
    axes.legend(frameon=False, loc="upper right", fontsize=8)
    axes.set_title(
        f"{short(options.name, 44)}: latency of every cut, RTT {link.rtt_s * 1e3:.3g} ms", fontsize=11, pad=16
    )
    return figure


def _name_stretches(axes: Axes, options: Options, table: Frontier, link: Link) -> None:
    """Names the best plan of each stretch that is wide enough on the axis."""
    titles = {(plan.edge, plan.sent): title for plan, title in zip(options.plans, options.titles, strict=True)}
    for stretch in breakpoints(table, link, Goal(), "bandwidth"):
        low, high = max(stretch.low, 1e5), min(stretch.high, 1e8)
        if stretch.plan is None or high <= low:
            continue
        middle = np.sqrt(low * high)
        if low > 1e5:
            axes.axvline(low / 1e6, ymax=0.04, color=LINK, linewidth=1.5)
        if np.log10(high / low) > 0.18:
            best_ms = options.latency_s(middle, link.rtt_s).min() * 1e3
            title = titles.get((stretch.plan.edge, stretch.plan.sent), "")
            axes.annotate(
                short(title, 30),
                (middle / 1e6, best_ms),
                xytext=(0, -12),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                rotation=0,
                color="#333333",
            )
