"""The frontier: every plan that may be the best one for some link, by its edge seconds and bytes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dnn_surgery.planning import Link
from dnn_surgery.report.figures.canvas import LINK, clean, headline, new_figure, short
from dnn_surgery.report.options import Options


def frontier_plot(options: Options, link: Link) -> Figure:
    """Bytes up against edge seconds, coloured by cloud seconds; the best plan at `link` is ringed."""
    figure, (axes,) = new_figure(8.5, 5.2)
    size = options.up_bytes / 1e3
    smallest = size[size > 0].min() if (size > 0).any() else 1.0
    shown = axes.scatter(
        options.edge_s * 1e3, size, c=options.cloud_s * 1e3, cmap="viridis", s=36, edgecolors="white", linewidths=0.5
    )
    figure.colorbar(shown, ax=axes, label="cloud, ms", fraction=0.05)
    best = int(np.argmin(options.latency_s(link.bandwidth_bps, link.rtt_s)))
    axes.scatter(options.edge_s[best] * 1e3, size[best], s=190, facecolors="none", edgecolors=LINK, linewidths=2.5)
    for row in {best, *_extremes(options)}:
        axes.annotate(
            short(options.titles[row], 32),
            (options.edge_s[row] * 1e3, size[row]),
            xytext=(9, 6),
            textcoords="offset points",
            fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.0},
            ha="left" if options.edge_s[row] < options.edge_s.max() / 2 else "right",
        )
    # Logarithmic, with room for the plan that sends nothing.
    axes.set_yscale("symlog", linthresh=smallest, linscale=0.4)
    axes.set(xlabel="edge, ms", ylabel="bytes up, kB")
    axes.margins(0.1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    clean(axes)
    axes.set_title(
        f"{headline(options.name)}: the frontier, {len(options)} plans; ringed: best at this link", fontsize=11
    )
    return figure


def _extremes(options: Options) -> tuple[int, int]:
    """The least and the most at the edge."""
    return int(np.argmin(options.edge_s)), int(np.argmax(options.edge_s))
