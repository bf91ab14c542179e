"""The network as a minimum cut: what runs at the edge, what in the cloud, and the tensors that cross between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from dnn_surgery.planning import Plan, Problem
from dnn_surgery.planning.explain import kind_of, title_of
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, headline, new_figure, short
from dnn_surgery.report.layout import Arrow, Box, Drawing, draw
from dnn_surgery.units import format_duration, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (1.35, 0.85)  # a column, a row
_BOX = (0.8, 0.66)  # in columns and rows
_WIDEST_INCHES = 26.0
_LETTERS = 14  # of a name that fit into a box


def cut_graph(problem: Problem, plan: Plan) -> Figure:
    """Edge green on the left, cloud blue on the right; the line between them is the cut, amber what crosses it."""
    drawing = draw(problem, plan.edge)
    right = max(box.x for box in drawing.boxes)
    top = max(abs(box.y) for box in drawing.boxes) + 1.2
    width = min(max(6.0, (right + 1.6) * _INCHES[0]), _WIDEST_INCHES)
    figure, (axes,) = new_figure(width, max(2.6, 2 * top * _INCHES[1]))
    _shade(axes, drawing, right, top, plan)
    for arrow in drawing.arrows:
        _arrow(axes, drawing, arrow, plan)
    for box in drawing.boxes:
        _box(axes, box, problem, 7.5 if right < 22 else 6.0)
    axes.set(xlim=(-0.8, right + 0.8), ylim=(-top, top))
    axes.axis("off")
    inputs = {layer.name for layer in problem.layers if not layer.inputs}
    title = title_of(plan, kind_of(plan, inputs))
    axes.set_title(f"{headline(problem.name)}: {title}, latency {format_duration(plan.latency_s)}", fontsize=11)
    return figure


def _shade(axes: Axes, drawing: Drawing, right: float, top: float, plan: Plan) -> None:
    cut_x = drawing.cut_x if plan.cloud else right + 0.8
    axes.axvspan(-0.8, cut_x, color=EDGE, alpha=0.08, linewidth=0)
    axes.annotate(f"edge  {format_duration(plan.edge_s)}", (-0.7, top - 0.1), va="top", fontsize=9, color=EDGE)
    if not plan.cloud:
        return
    axes.axvspan(cut_x, right + 0.8, color=CLOUD, alpha=0.08, linewidth=0)
    axes.axvline(cut_x, color=LINK, linewidth=2, linestyle="--")
    cloud = f"cloud  {format_duration(plan.cloud_s)}"
    axes.annotate(cloud, (right + 0.7, top - 0.1), ha="right", va="top", fontsize=9, color=CLOUD)
    link = f"link  {format_duration(plan.transfer_s)}"
    axes.annotate(
        link,
        (cut_x, top - 0.1),
        ha="center",
        va="top",
        fontsize=9,
        color="#8a5f00",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _box(axes: Axes, box: Box, problem: Problem, font: float) -> None:
    colour = EDGE if box.at_edge else CLOUD
    left, low = box.x - _BOX[0] / 2, box.y - _BOX[1] / 2
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch((left, low), *_BOX, boxstyle=style, facecolor="white", edgecolor=colour, linewidth=1.4, zorder=3)
    )
    cost = {layer.name: layer.edge_s if box.at_edge else layer.cloud_s for layer in problem.layers}
    seconds = sum(cost[name] for name in box.layers)
    name = short(box.layers[0], _LETTERS)
    if len(box.layers) > 1:
        name = f"{name}\n… {short(box.layers[-1], _LETTERS - 2)}\n{len(box.layers)} layers"
    text = name if not seconds else f"{name}\n{format_duration(seconds)}"
    axes.text(box.x, box.y, text, ha="center", va="center", fontsize=font, zorder=4, linespacing=1.15)


def _arrow(axes: Axes, drawing: Drawing, arrow: Arrow, plan: Plan) -> None:
    start, end = drawing.boxes[arrow.source], drawing.boxes[arrow.target]
    # An arrow along a row that jumps over boxes of it bows around them.
    jumps = any(box.y == start.y == end.y and start.x < box.x < end.x for box in drawing.boxes)
    bow = -min(0.5, 1.6 / max(end.x - start.x, 1)) if jumps else 0.0
    axes.add_patch(
        FancyArrowPatch(
            (start.x + _BOX[0] / 2, start.y),
            (end.x - _BOX[0] / 2, end.y),
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=0,
            shrinkB=0,
            zorder=2,
            connectionstyle=f"arc3,rad={bow}",
            linewidth=2.6 if arrow.cut else 0.9,
            color=LINK if arrow.cut else QUIET,
        )
    )
    sent = [item for item in plan.sent if item.tensor in arrow.tensors]
    first = min(
        (other for other in drawing.arrows if other.cut and set(other.tensors) & set(arrow.tensors)),
        key=lambda other: (abs(drawing.boxes[other.target].y), other.target),
        default=arrow,
    )
    if arrow.cut and sent and arrow == first:
        text = "\n".join(f"{short(item.tensor, 16)}\n{format_size(item.bytes)} {item.codec}" for item in sent)
        middle = (drawing.cut_x, (start.y + end.y) / 2)
        axes.annotate(
            text,
            middle,
            ha="center",
            va="center",
            fontsize=7,
            zorder=5,
            bbox={"facecolor": "#fff6df", "edgecolor": LINK, "boxstyle": "round,pad=0.25", "linewidth": 0.8},
        )
