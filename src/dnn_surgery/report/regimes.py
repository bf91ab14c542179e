"""Which option wins where: over bandwidth and edge slow-down, and by how much over the next best kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnn_surgery.report.options import KINDS, Floats, Options

# Rows evaluated at once: points of the map times rows, to bound the memory.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Regimes:
    """A map: `winner` [slow-downs, bandwidths] is the best row, `margin` how many times worse the next best kind is.

    Kinds are staying local, uploading and splitting: a split is compared with what one could do without splitting, not
    with the cut beside it. `margin` is infinite where there is only one kind.
    """

    objective: str
    bandwidth_bps: Floats
    slowdown: Floats
    winner: npt.NDArray[np.intp]
    margin: Floats


def regimes(options: Options, bandwidth_bps: Floats, slowdown: Floats, *, objective: str, rtt_s: float) -> Regimes:
    """The map of a set of options for least ``latency`` or most ``throughput``."""
    points = [(factor, rate) for factor in slowdown for rate in bandwidth_bps]
    step = max(1, _BLOCK // max(1, len(options)))
    winners, margins = [], []
    for start in range(0, len(points), step):
        factors, rates = np.array(points[start : start + step]).T
        cost = (
            options.latency_s(rates, rtt_s, factors) if objective == "latency" else options.bottleneck_s(rates, factors)
        )
        winners.append(cost.argmin(axis=1))
        margins.append(_margin(cost, options.kind))
    shape = (len(slowdown), len(bandwidth_bps))
    return Regimes(
        objective,
        np.asarray(bandwidth_bps),
        np.asarray(slowdown),
        np.concatenate(winners).reshape(shape),
        np.concatenate(margins).reshape(shape),
    )


def _margin(cost: Floats, kind: npt.NDArray[np.intp]) -> Floats:
    """The second least of the kinds' least costs over the least."""
    best = np.full((len(cost), len(KINDS)), np.inf)
    for number in range(len(KINDS)):
        if (rows := kind == number).any():
            best[:, number] = cost[:, rows].min(axis=1)
    best.sort(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin: Floats = np.where(best[:, 0] > 0, best[:, 1] / best[:, 0], np.inf)
    return margin
