"""Live beside simulated: one point a cut, the band of 10 % shaded."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dnn_surgery.evaluation.paper.live_timing import WITHIN, LiveCut
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, UPLOAD, clean, new_figure, plain_log

_LINKS = {"CAT1": UPLOAD, "3G": LINK, "4G": CLOUD, "WiFi": EDGE}
_MARKERS = "osD^v"


def live_against_simulated(cuts: Sequence[LiveCut]) -> Figure:
    """Two panels, latency and throughput: simulated value on a logarithmic axis, live over simulated above it.

    Hollow: over the simulation with the stages' seconds as they were seen live.
    """
    figure, panels = new_figure(11.5, 4.6, columns=2)
    networks = dict(zip(dict.fromkeys(cut.network for cut in cuts), _MARKERS, strict=False))
    values = (
        (
            "simulated latency, s",
            [(cut.simulated.latency_s, cut.latency_ratio, cut.replayed_ratios[0]) for cut in cuts],
        ),
        (
            "simulated throughput, frames/s",
            [(cut.simulated.rate_hz, cut.rate_ratio, cut.replayed_ratios[1]) for cut in cuts],
        ),
    )
    for axes, (label, points) in zip(panels, values, strict=True):
        x, y, again = ([point[place] for point in points] for place in range(3))
        axes.axhspan(1 - WITHIN, 1 + WITHIN, color=QUIET, alpha=0.18, linewidth=0)
        axes.axhline(1, color=QUIET, linewidth=0.8)
        for cut, across, up, replayed in zip(cuts, x, y, again, strict=True):
            colour = "#333333" if cut.sent_bytes[0] == 0 else _LINKS.get(cut.link, QUIET)
            axes.plot(across, up, networks[cut.network], color=colour, markersize=8, markeredgecolor="white")
            axes.plot(across, replayed, networks[cut.network], color=colour, markersize=8, fillstyle="none")
        furthest = max(1.5 * WITHIN, *(abs(value - 1) * 1.15 for value in (*y, *again)))
        axes.set(xscale="log", xlabel=label, ylabel="live / simulated", ylim=(1 - furthest, 1 + furthest))
        axes.set_xlim(min(x) / 1.5, max(x) * 1.5)
        plain_log(axes.xaxis)
        clean(axes)
    some = [cut.link for cut in cuts if cut.sent_bytes[0]]
    handles = [Line2D([], [], marker=mark, color=QUIET, linestyle="", label=name) for name, mark in networks.items()]
    handles += [
        Line2D([], [], marker="o", color=colour, linestyle="", label=name)
        for name, colour in _LINKS.items()
        if name in some
    ]
    if any(not cut.sent_bytes[0] for cut in cuts):
        handles.append(Line2D([], [], marker="o", color="#333333", linestyle="", label="nothing sent"))
    handles.append(Line2D([], [], marker="o", color=QUIET, linestyle="", fillstyle="none", label="stages as seen live"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    figure.suptitle(
        f"every cut that a strategy chooses, live over a shaped link; shaded: within {WITHIN:.0%}", fontsize=11
    )
    return figure
