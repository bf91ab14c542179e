"""Where the best plan changes as the bandwidth falls or the edge slows down: computed, not sampled.

With x = seconds a byte takes, or the factor on the edge's seconds, every row of the frontier costs a line a + b x
(latency, energy) or the larger of a constant and a line, max(a, b x) (the bottleneck), and keeps its rate and limits up
to some x. So the best row at any x stays the best until the first x at which another row's cost is crossed or its own
limits end:

    a_i + b_i x = a_j + b_j x      at x = (a_j - a_i) / (b_i - b_j), for rows j that rise more slowly (b_j < b_i)
    max(a_i, b_i x) > max(a_j, b_j x)   from x = a_j / b_i, for the same rows j

Walking from change to change costs O(rows) each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.score import Verdict
from dnn_surgery.planning.structure import Bools, Floats
from dnn_surgery.planning.ties import TIE

Axis = Literal["bandwidth", "edge slow-down"]

FASTEST_BPS = 1e12
SLOWEST_BPS = 1e2
LEAST_SLOWDOWN = 1e-4
MOST_SLOWDOWN = 1e5


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `low` to `high` (bits per second, or the factor on the edge's seconds) this plan is the best.

    Without a plan: `reason` says whether no plan keeps up with the rate or none keeps the limits. The plan's costs are
    those at the link and the loads asked for, not within the stretch.
    """

    low: float
    high: float
    plan: Plan | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class _Family:
    """The cost of every row over x: a + b x, or max(a, b x) when `peaks`; allowed while x <= `last`."""

    constant: Floats
    slope: Floats
    peaks: bool
    last: Floats


def breakpoints(table: Frontier, link: Link, goal: Goal, axis: Axis) -> list[Stretch]:
    """The stretches of the axis, from its best end (fast link, fast edge) to its worst."""
    family = (_over_bandwidth if axis == "bandwidth" else _over_slowdown)(table, link, goal)
    stretches = []
    x, stop = span(axis)
    while x < stop:
        row = _best_after(family, x)
        end = stop if row is None else min(stop, _first_change(family, row, x))
        if row is None:
            what = "no plan keeps the limits" if goal.rate_hz is None else "no plan keeps up with the rate"
            stretches.append(stretch_of(axis, (x, end), None, what))
        else:
            plan = table.row(row, link, goal, Verdict(goal.objective, "exact"))
            stretches.append(stretch_of(axis, (x, end), plan))
        x = end
    return stretches


def span(axis: Axis) -> tuple[float, float]:
    """The x of the best and the worst end of an axis: seconds of a byte, or the factor on the edge's seconds."""
    return (8 / FASTEST_BPS, 8 / SLOWEST_BPS) if axis == "bandwidth" else (LEAST_SLOWDOWN, MOST_SLOWDOWN)


def stretch_of(axis: Axis, ends: tuple[float, float], plan: Plan | None, reason: str | None = None) -> Stretch:
    """The stretch between two x, in the axis's own unit."""
    low, high = (8 / ends[1], 8 / ends[0]) if axis == "bandwidth" else ends
    return Stretch(low, high, plan, reason)


def _over_bandwidth(table: Frontier, link: Link, goal: Goal) -> _Family:
    """x is the seconds of a byte up; the way down keeps its own bandwidth."""
    edge_s, up_bytes, cloud_s = _loaded(table, goal)
    watts = (goal.power.compute_w, goal.power.send_w) if goal.power is not None else (0.0, 0.0)
    return _family(table, link, goal, steady_s=edge_s, growing=up_bytes, cloud_s=cloud_s, watts=watts)


def _over_slowdown(table: Frontier, link: Link, goal: Goal) -> _Family:
    """x multiplies the edge's seconds as they are at the goal's load."""
    edge_s, up_bytes, cloud_s = _loaded(table, goal)
    watts = (goal.power.send_w, goal.power.compute_w) if goal.power is not None else (0.0, 0.0)
    transfer_s = up_bytes * link.up_byte_s
    return _family(table, link, goal, steady_s=transfer_s, growing=edge_s, cloud_s=cloud_s, watts=watts)


def _family(
    table: Frontier,
    link: Link,
    goal: Goal,
    *,
    steady_s: Floats,
    growing: Floats,
    cloud_s: Floats,
    watts: tuple[float, float],
) -> _Family:
    """Of edge and transfer one stage stays at `steady_s` and the other is x times `growing`; `watts` in that order."""
    fixed = steady_s + cloud_s + table.columns[3] * link.rtt_s + table.columns[5] * link.down_byte_s
    last = np.where(_within(table, goal), _latest(fixed, growing, goal.limits.deadline_s), -np.inf)
    if goal.rate_hz is not None:
        period_s = (1 + TIE) / goal.rate_hz
        keeps_up = (steady_s <= period_s) & (cloud_s <= period_s)
        last = np.where(keeps_up, np.minimum(last, _latest(np.zeros(len(table)), growing, period_s)), -np.inf)
    if goal.objective == "throughput":
        return _Family(np.maximum(steady_s, cloud_s), growing, True, last)
    if goal.objective == "energy" and goal.power is not None:
        return _Family(watts[0] * steady_s, watts[1] * growing, False, last)
    return _Family(fixed, growing, False, last)


def _loaded(table: Frontier, goal: Goal) -> tuple[Floats, Floats, Floats]:
    return table.columns[0] * goal.edge_load, table.columns[1], table.columns[2] * goal.cloud_load


def _within(table: Frontier, goal: Goal) -> Bools:
    """Rows that keep the limits that x does not touch."""
    rows = np.ones(len(table), dtype=np.bool_)
    for column, limit in ((4, goal.limits.edge_param_bytes), (1, goal.limits.frame_bytes)):
        if limit is not None:
            rows &= table.columns[column] <= limit * (1 + TIE)
    return rows


def _latest(constant: Floats, slope: Floats, limit: float | None) -> Floats:
    """The largest x with constant + slope x <= limit; -inf where there is none."""
    if limit is None:
        return np.full(len(constant), np.inf)
    room = limit * (1 + TIE) - constant
    with np.errstate(divide="ignore", invalid="ignore"):
        latest = np.where(slope > 0, room / slope, np.inf)
    return np.where(room < 0, -np.inf, latest)


def _best_after(family: _Family, x: float) -> int | None:
    """The best row just after x: of equal ones that which rises most slowly."""
    allowed = np.flatnonzero(family.last > x * (1 + TIE))
    if not len(allowed):
        return None
    constant, slope = family.constant[allowed], family.slope[allowed]
    value = np.maximum(constant, slope * x) if family.peaks else constant + slope * x
    best = value.min()
    tied = np.flatnonzero(value <= best + abs(best) * 1e-12)
    # Just after x a peak rises only where its line is already the larger part.
    rise = np.where(slope[tied] * x >= constant[tied] * (1 - 1e-12), slope[tied], 0.0) if family.peaks else slope[tied]
    order = np.lexsort((slope[tied], constant[tied], rise)) if family.peaks else np.lexsort((constant[tied], rise))
    return int(allowed[tied[order[0]]])


def _first_change(family: _Family, row: int, x: float) -> float:
    """The first x after which another row is better than `row`, or `row` is allowed no more."""
    constant, slope = family.constant, family.slope
    slower = np.flatnonzero((slope < slope[row]) & (family.last > x))
    with np.errstate(divide="ignore", invalid="ignore"):
        if family.peaks:
            at = constant[slower] / slope[row]
        else:
            at = (constant[slower] - constant[row]) / (slope[row] - slope[slower])
    # A row that takes over only when it is allowed no more does not count.
    at = np.maximum(at[at < family.last[slower]], x)
    after = at[at > x * (1 + 4 * TIE)]
    return float(min(after.min(initial=np.inf), family.last[row]))
