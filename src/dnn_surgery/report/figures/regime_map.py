"""The one picture that tells whether to split at all: what wins over bandwidth and edge slow-down, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, headline, mark_networks, new_figure, plain_log, short
from dnn_surgery.report.options import KINDS, Floats, Options
from dnn_surgery.report.regimes import Regimes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DEEP = "#b2431a"  # splits shade from the link's colour (early) to this one (late)
_OUTLINE = "#44505c"
_FADED = 0.32  # how much colour is left where the winner wins by nothing
_CONTOURS = (1.1, 1.3, 2.0, 4.0)
_LETTER, _LINE = 0.0095, 0.045  # what a letter and a line take of the map's width and height
_NAMED_SHARE = 0.012  # of the map's area: smaller regions bear no name


def regime_map(options: Options, maps: list[Regimes], *, note: str) -> Figure:
    """A panel for each map, side by side; strong colour: wins clearly, pale: hardly."""
    figure, panels = new_figure(7.2 * len(maps), 6.0, columns=len(maps))
    for axes, found in zip(panels, maps, strict=True):
        x, y = found.bandwidth_bps / 1e6, found.slowdown
        axes.pcolormesh(x, y, _colours(options, found), shading="nearest", rasterized=True)
        axes.set(xscale="log", yscale="log", xlabel="bandwidth, Mbit/s", ylabel="edge slow-down, times")
        _name_regions(axes, options, found)
        margin = np.minimum(found.margin, 100)
        if margin.min() < _CONTOURS[-1] and margin.max() > _CONTOURS[0]:
            lines = axes.contour(x, y, margin, levels=_CONTOURS, colors="white", linewidths=0.9)
            # White alone is lost where hardly anything wins and all is pale.
            lines.set_path_effects([withStroke(linewidth=2.0, foreground=_OUTLINE)])
            for text in axes.clabel(lines, fmt=lambda value: f"{value:g}x", fontsize=7):
                text.set_path_effects([withStroke(linewidth=2.0, foreground=_OUTLINE)])
        plain_log(axes.xaxis)
        plain_log(axes.yaxis)
        mark_networks(axes, x[0], x[-1])
        what = "least latency" if found.objective == "latency" else "most throughput"
        axes.set_title(what, fontsize=11, pad=16)
    figure.legend(
        handles=[
            Patch(color=EDGE, label="stay local"),
            Patch(color=CLOUD, label="upload the input"),
            Patch(color=LINK, label="split, early layer"),
            Patch(color=_DEEP, label="split, late layer"),
        ],
        loc="outside lower center",
        ncols=4,
        fontsize=9,
        frameon=False,
    )
    title = f"{headline(options.name)}: what to do, and how many times better than the next best kind"
    figure.suptitle(f"{title}\n{note}", fontsize=11)
    return figure


def _colours(options: Options, found: Regimes) -> Floats:
    """RGB of every point [slow-downs, bandwidths, 3]: the winner's colour, paler the less it wins by."""
    depth = options.depth / max(1, len(options.layers))
    row_colours = np.array([_row_colour(KINDS[kind], share) for kind, share in zip(options.kind, depth, strict=True)])
    strength = _FADED + (1 - _FADED) * np.clip(np.log(found.margin) / np.log(2.0), 0, 1)
    colours: Floats = 1 - (1 - row_colours[found.winner]) * strength[..., None]
    return colours


def _row_colour(kind: str, depth: float) -> tuple[float, ...]:
    if kind != "split":
        return to_rgb(EDGE if kind == "local" else CLOUD)
    early, late = to_rgb(LINK), to_rgb(_DEEP)
    return tuple(a + (b - a) * depth for a, b in zip(early, late, strict=True))


def _name_regions(axes: Axes, options: Options, found: Regimes) -> None:
    """Writes what wins into each region that is large enough, at the point of it that is farthest inside.

    The largest first; a name that would lie on another one is left out.
    """
    taken: list[tuple[float, float, float]] = []
    for _, name, across, up in sorted(_regions(options, found), reverse=True):
        text = short(name, 26)
        half = _LETTER * len(text) / 2
        # Inside of the map, also where the region is at its border.
        x, y = min(max(across, half), 1 - half), min(max(up, _LINE / 2), 1 - _LINE / 2)
        if any(abs(x - other[0]) < half + other[2] and abs(y - other[1]) < _LINE for other in taken):
            continue
        taken.append((x, y, half))
        axes.text(
            x,
            y,
            text,
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=8,
            color="#111111",
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5},
        )


def _regions(options: Options, found: Regimes) -> Iterator[tuple[float, str, float, float]]:
    """Of each region that is large enough its share of the map, its name, and its innermost point in shares of it."""
    from scipy.ndimage import distance_transform_edt, label

    names = np.array([_region_name(options, row) for row in range(len(options))])
    of_point = names[found.winner]
    for name in np.unique(of_point):
        areas, count = label(of_point == name)
        for number in range(1, count + 1):
            area = areas == number
            if area.mean() < _NAMED_SHARE:
                continue
            # Padded, so that the border of the map counts as a border of the region.
            inside = distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(int(inside.argmax()), inside.shape)
            yield float(area.mean()), str(name), column / area.shape[1], row / area.shape[0]


def _region_name(options: Options, row: int) -> str:
    title = options.titles[row]
    return title.removeprefix("split ") if KINDS[options.kind[row]] == "split" else title
