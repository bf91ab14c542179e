"""Latency against bandwidth: one line a cut, their envelope, and where the best cut changes (figure 3 of the paper)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from dnn_surgery.planning import Link
from dnn_surgery.report.figures.canvas import (
    CLOUD,
    EDGE,
    LINK,
    QUIET,
    clean,
    headline,
    mark_networks,
    new_figure,
    plain_log,
    short,
)
from dnn_surgery.report.options import KINDS, Floats, Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"local": EDGE, "upload": CLOUD, "split": QUIET}
_SHOWN = 400  # lines; more are a grey carpet
_NAMED_DECADES = 0.18  # of the axis that a name needs


def latency_by_bandwidth(options: Options, link: Link) -> Figure:
    """All options; the best one of each stretch is named."""
    figure, (axes,) = new_figure(9.5, 5.2)
    rates = np.geomspace(1e5, 1e8, 481)
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
    drawn = {KINDS[kind] for kind in options.kind[order]}
    for kind, text in (("local", "stay local"), ("upload", "upload the input"), ("split", "a split")):
        if kind in drawn:
            axes.plot([], [], color=_COLOURS[kind], label=text)
    axes.set(xscale="log", yscale="log", xlabel="bandwidth, Mbit/s", ylabel="latency, ms")
    axes.set_ylim(envelope.min() * 0.8, min(latency_ms.max(), envelope.max() * 8))
    clean(axes)
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
    mark_networks(axes, rates[0] / 1e6, rates[-1] / 1e6)
    _name_stretches(axes, options, rates, latency_ms)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9, edgecolor="none")
    axes.set_title(
        f"{headline(options.name)}: latency of every cut, RTT {link.rtt_s * 1e3:.3g} ms", fontsize=11, pad=16
    )
    return figure


def _name_stretches(axes: Axes, options: Options, rates: Floats, latency_ms: Floats) -> None:
    """Names the best option of each stretch that is wide enough on the axis."""
    best = latency_ms.argmin(axis=0)
    starts = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(rates)]
    for start, stop in itertools.pairwise(starts):
        if start:
            axes.axvline(rates[start] / 1e6, ymax=0.04, color=LINK, linewidth=1.5)
        if np.log10(rates[stop - 1] / rates[start]) > _NAMED_DECADES:
            middle = (start + stop - 1) // 2
            axes.annotate(
                short(options.titles[best[middle]], 30),
                (rates[middle] / 1e6, latency_ms[best[middle], middle]),
                xytext=(0, -12),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                color="#333333",
            )
