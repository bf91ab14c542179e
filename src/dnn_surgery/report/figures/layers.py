"""How large each layer's output is, and how long each layer takes: why a network has places worth cutting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dnn_surgery.planning import Problem, ProblemLayer
from dnn_surgery.report.figures.canvas import (
    CLOUD,
    EDGE,
    LINK,
    QUIET,
    clean,
    headline,
    legend_above,
    new_figure,
    plain_log,
    short,
)
from dnn_surgery.units import format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More bars than this cannot be read; their names are left out.
_NAMED = 64


def layer_sizes(problem: Problem) -> Figure:
    """Bytes of each layer's outputs as they travel with the smallest admitted codec, beside the input's size."""
    layers = problem.layers
    figure, (axes,) = new_figure(_width(len(layers)), 4.6)
    raw = [sum(tensor.size_bytes for tensor in layer.outputs) / 1e3 for layer in layers]
    least = [sum(min(way.size_bytes for way in tensor.ways) for tensor in layer.outputs) / 1e3 for layer in layers]
    entered = sum(size for size, layer in zip(least, layers, strict=True) if not layer.inputs)
    places = range(len(layers))
    colours = [
        QUIET if not layer.inputs else EDGE if size < entered else LINK
        for size, layer in zip(least, layers, strict=True)
    ]
    if any(small < size for small, size in zip(least, raw, strict=True)):
        axes.bar(places, raw, color="none", edgecolor=QUIET, linewidth=0.8, label="uncompressed")
    axes.bar(places, least, color=colours)
    line = axes.axhline(entered, color="#333333", linewidth=1, linestyle="--", label="the input, as it is sent")
    axes.set_yscale("log")
    axes.set_ylabel("output of the layer, kB")
    axes.set_title(f"{headline(problem.name)}: what each layer would send", fontsize=11, pad=20)
    _name(axes, layers)
    plain_log(axes.yaxis)
    outline = [handle for handle in axes.get_legend_handles_labels()[0] if handle is not line]
    handles = [Patch(color=EDGE, label="less than the input"), Patch(color=LINK, label="more"), line, *outline]
    axes.legend(
        handles=handles, frameon=False, ncols=4, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
    )
    return figure


def layer_times(problem: Problem) -> Figure:
    """Seconds of each layer at the edge and in the cloud."""
    layers = problem.layers
    figure, (axes,) = new_figure(_width(len(layers)), 4.6)
    places = list(range(len(layers)))
    edge_ms, cloud_ms = [layer.edge_s * 1e3 for layer in layers], [layer.cloud_s * 1e3 for layer in layers]
    axes.bar([place - 0.2 for place in places], edge_ms, 0.4, color=EDGE, label=f"edge, {_total(edge_ms)} in all")
    axes.bar([place + 0.2 for place in places], cloud_ms, 0.4, color=CLOUD, label=f"cloud, {_total(cloud_ms)}")
    axes.set_ylabel("ms a frame")
    axes.set_title(f"{headline(problem.name)}: how long each layer takes", fontsize=11, pad=20)
    legend_above(axes)
    _name(axes, layers)
    return figure


def _total(milliseconds: list[float]) -> str:
    return format_duration(sum(milliseconds) / 1e3)


def _width(count: int) -> float:
    return min(max(7.0, 0.28 * count), 20.0)


def _name(axes: Axes, layers: tuple[ProblemLayer, ...]) -> None:
    clean(axes)
    axes.margins(x=0.01)
    axes.grid(visible=False, axis="x")
    if len(layers) <= _NAMED:
        names = [short(layer.name) for layer in layers]
        axes.set_xticks(range(len(layers)), names, rotation=60, ha="right", fontsize=7)
    else:
        axes.set_xlabel("layers in topological order")
