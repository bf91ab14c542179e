"""Where splits win and where they lose: margins of all regimes, and the live ones beside their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from dnn_surgery.evaluation.regimes.choice import KINDS
from dnn_surgery.evaluation.regimes.live import Live
from dnn_surgery.evaluation.regimes.search import GOAL, Found
from dnn_surgery.report.figures.canvas import CLOUD, LINK, QUIET, clean, new_figure
from dnn_surgery.report.regimes_table import regime_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINS, _LOSES = LINK, CLOUD
# As far as the axes go: beyond it one side is no question.
_MOST = 32.0


def margins_figure(found: Sequence[Found], lives: Sequence[tuple[str, Live]]) -> Figure:
    """Left: every regime's margin, a row a kind and case. Right: live beside predicted."""
    figure, (left, right) = new_figure(15.0, 2.2 + 0.62 * max(6, len(lives)), columns=2)
    _all(left, found)
    _live(right, lives)
    figure.suptitle("How many times better the best split is than the best alternative, at equal proved accuracy")
    return figure


def _all(axes: Axes, found: Sequence[Found]) -> None:
    cases = list(dict.fromkeys(one.case for one in found))
    rows = [(kind, case) for kind in KINDS for case in cases]
    for place, (kind, case) in enumerate(rows):
        margins = np.clip(
            [one.margin for one in found if one.case == case and KINDS[kind](one.regime)], 1 / _MOST, _MOST
        )
        jitter = np.random.default_rng(0).uniform(-0.32, 0.32, len(margins))
        colours = np.where(margins >= 1, _WINS, _LOSES)
        axes.scatter(margins, place + jitter, s=4, c=colours, alpha=0.45, linewidths=0)
        won = np.mean(margins >= 1)
        axes.annotate(f"{won:.0%}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    for place in range(len(cases), len(rows), len(cases)):
        axes.axhline(place - 0.5, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{kind}: {case}" for kind, case in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title("predicted, each point a regime; right: share that the split wins", fontsize=10)
    _scale(axes)


def _live(axes: Axes, lives: Sequence[tuple[str, Live]]) -> None:
    ordered = sorted(lives, key=lambda one: -one[1].margin)
    for place, (_, live) in enumerate(ordered):
        colour = _WINS if live.margin >= 1 else _LOSES
        axes.barh(place, np.log(live.margin), color=colour, height=0.55)
        axes.plot(np.log(live.found.margin), place, marker="D", markersize=6, color="#222222", linestyle="none")
        # Beside the axis, on the side that bar and diamond leave free.
        won = live.margin >= 1
        by, predicted = (live.margin, live.found.margin) if won else (1 / live.margin, 1 / live.found.margin)
        text = f"{'' if won else live.best_alternative.way.title + ': '}{by:.2f}x live, {predicted:.2f}x predicted"
        axes.annotate(f"  {text}  ", (0, place), ha="right" if won else "left", va="center", fontsize=8)
    axes.set_yticks(
        range(len(ordered)),
        [f"{kind}: {live.found.case}\n{regime_text(live.found.regime)}" for kind, live in ordered],
        fontsize=7,
    )
    axes.set_ylim(max(1, len(ordered)) - 0.5, -0.5)
    axes.set_title("live (bars) beside predicted (diamonds)", fontsize=10)
    if lives:
        reach = 1.6 * max(abs(np.log([one.margin, one.found.margin])).max() for _, one in lives)
        axes.set_xlim(-reach, reach)
    ticks = np.array([0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
    inside = [tick for tick in ticks if abs(np.log(tick)) <= axes.get_xlim()[1]]
    axes.set_xticks(np.log(inside), [f"{tick:g}x" for tick in inside])
    axes.axvline(0, color="#222222", linewidth=1)
    axes.axvline(np.log(GOAL), color="#222222", linewidth=0.8, linestyle="--")
    axes.set_xlabel(f"best alternative over split; right of 1x the split wins (dashed: {GOAL:g}x)")
    clean(axes)


def _scale(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1 / _MOST, _MOST)
    ticks = [1 / 30, 0.1, 0.3, 1, 3, 10, 30]
    axes.set_xticks(ticks, [f"{tick:.2g}x" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="#222222", linewidth=1)
    axes.axvline(GOAL, color="#222222", linewidth=0.8, linestyle="--")
    axes.set_xlabel("best alternative over best split")
    clean(axes)
