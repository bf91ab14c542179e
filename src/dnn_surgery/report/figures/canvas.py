"""What all pictures share: colours, size, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# One colour for each place, everywhere (tables of the terminal use the same idea); told apart by colour-blind eyes too.
EDGE, LINK, CLOUD, UPLOAD, QUIET = "#0f8b7d", "#e69f00", "#2f6fb2", "#7a4fa3", "#8a8f98"

_SHORT_DECADES = 2.0

# The paper's table I, uplink in Mbit/s: marks that people know on every bandwidth axis.
NETWORKS_MBPS = {"CAT1": 0.13, "3G": 1.1, "4G": 5.85, "WiFi": 18.88}


def new_figure(
    width: float = 9.0, height: float = 4.5, *, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """An empty figure of so many inches, and its axes in reading order. Needs no screen."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def clean(axes: Axes) -> None:
    """No frame above and to the right, a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def plain_log(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, not powers of ten; on a short one 2 and 5 of each decade as well."""

    def between(value: float, _: int | None) -> str:
        low, high = axis.get_view_interval()
        return f"{value:g}" if low > 0 and np.log10(high / low) < _SHORT_DECADES else ""

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.set_minor_formatter(FuncFormatter(between))


def legend_above(axes: Axes) -> None:
    """What the colours mean, in a line above the axes, where it covers nothing."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.legend(frameon=False, ncols=count, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def mark_networks(axes: Axes, low_mbps: float, high_mbps: float) -> None:
    """Faint vertical lines at the networks of the paper that lie in the range, named at the top."""
    for name, rate in NETWORKS_MBPS.items():
        if low_mbps <= rate <= high_mbps:
            axes.axvline(rate, color=QUIET, linewidth=0.8, linestyle=":")
            axes.annotate(
                name, (rate, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8, color=QUIET
            )


def write(figure: Figure, path: Path) -> Path:
    """Writes the picture as a PNG.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def short(name: str, length: int = 22) -> str:
    """A long layer name with its middle left out."""
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[: length - 1 - half]}…{name[-half:]}"


def headline(name: str) -> str:
    """What a problem is called in a title: its name up to a colon, behind which the details stand."""
    return short(name.split(":", maxsplit=1)[0], 44)
