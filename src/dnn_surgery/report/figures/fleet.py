"""A fleet over time: the share of its devices that send, and the load that the server reports."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from dnn_surgery.evaluation.fleet import Fleet
from dnn_surgery.evaluation.fleet_compare import AS_IT_IS, DEAF, SAME, Result
from dnn_surgery.report.figures.canvas import CLOUD, LINK, QUIET, clean, new_figure

_SHOWN = {AS_IT_IS: CLOUD, SAME: LINK, DEAF: QUIET}


def fleet_figure(fleet: Fleet, results: Mapping[str, Result]) -> Figure:
    """Above the shares, below the loads (means of a second)."""
    figure, (above, below) = new_figure(9.0, 5.6, rows=2)
    for name, colour in _SHOWN.items():
        run = results[name].run
        times_s = np.arange(len(run.states)) * run.sample_s
        label = f"{name}: mean latency {1e3 * results[name].mean_s:.0f} ms"
        above.plot(times_s, 100 * run.shares, color=colour, linewidth=1.4, label=label)
        seconds, loads = _by_second(run.loads)
        below.plot(seconds, loads, color=colour, linewidth=1.4)
    above.axvspan(0, results[AS_IT_IS].after_s, color=QUIET, alpha=0.12, linewidth=0)
    above.set(ylabel="devices that send, %", ylim=(0, 105))
    below.set(ylabel="reported load", xlabel="seconds")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.set_xlim(0, fleet.duration_s)
        clean(axes)
    above.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    above.set_title(
        f"{fleet.problem.name}: {fleet.devices} devices, {fleet.workers} workers (grey: left to settle)",
        fontsize=11,
        pad=22,
    )
    return figure


def _by_second(loads: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    found: dict[int, list[float]] = {}
    for at_s, load in loads:
        found.setdefault(int(at_s), []).append(load)
    return [second + 0.5 for second in found], [float(np.mean(values)) for values in found.values()]
