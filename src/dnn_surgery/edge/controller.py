"""Which plan the next frame takes: belief about the link and loads in, a decision with its reason out.

Pure: no clock, no sockets; the device's run time and the simulation use the very same object. The rule, in order:

1. nothing known of the link: stay at the edge (or where one is) and ask for a probe, never a blind jump;
2. of all plans whose parts are ready take the one that is expected to cost least - if it beats the present one by more
   than a margin that grows with doubt, and with the freshness of the last change;
3. a better plan that is not ready is named, so that it can be compiled;
4. where knowing the link better is worth it, ask for a probe.

What a plan is expected to cost is a mean over the belief, not its cost at the middle of it: seconds grow with 1 / rate,
so a rate that may be low weighs more than one that may be high. The belief is log-normal; its mean is taken at the five
points of Gauss-Hermite quadrature. Where a reply that is late is finished here, no rate costs more than that.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.network.estimator import LinkBelief
from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Objective, Plan
from dnn_surgery.planning.score import Verdict
from dnn_surgery.planning.structure import Bools, Floats
from dnn_surgery.planning.ties import TIE
from dnn_surgery.units import format_bandwidth, format_duration, format_size

_SLOWEST_BPS, _FASTEST_BPS = 1.0, 1e12
_UNKNOWN = Link(_SLOWEST_BPS)
_NEVER_S = 1e6  # on top of the cost of a plan that does not keep up: of two such the better one still wins

# Gauss-Hermite for a standard normal variable: mean of f = _WEIGHTS @ f(_POINTS), exact for polynomials of degree 9.
_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_MIDDLE = 2


class _Price(NamedTuple):
    """Of every row at one link: the objective, and the bottleneck in seconds."""

    value: Floats
    bottleneck_s: Floats


@dataclass(frozen=True)
class Loads:
    """By what factor each side is slower now than its profile says: `edge` measured here, `cloud` as it reports."""

    edge: float = 1.0
    cloud: float = 1.0


@dataclass(frozen=True)
class ControllerSettings:
    """How reluctant the controller is.

    A change must gain `margin` of the present plan's cost, and `doubt` more for a belief of confidence 0. For `hold_s`
    after a change, a gain must be `hold_factor` times that. `spread` is the relative half-width of the random factor on
    margin, hold and staleness that each controller draws for each change, so that a fleet does not move as one.
    A probe is asked for when the belief is older than `stale_s` and knowing the rate exactly would save `probe_worth`
    of a frame's cost; and after `rare_s` in any case where a fast link would, since what one does not look at may have
    changed by more than one believes.
    """

    margin: float = 0.02
    doubt: float = 0.1
    hold_s: float = 2.0
    hold_factor: float = 2.0
    spread: float = 0.5
    stale_s: float = 1.0
    probe_worth: float = 0.02
    rare_s: float = 60.0


@dataclass(frozen=True)
class Decision:
    """What to do with the next frame, and why.

    `changed`: another plan than for the frame before. `probe`: more evidence about the link is wanted. `wanted`: a
    better plan whose parts are not compiled yet.
    """

    plan: Plan
    changed: bool
    reason: str
    probe: bool = False
    wanted: Plan | None = None


class Controller:
    """Decides for one device and one model.

    Args:
        frontier: all plans that may be the best.
        objective: what is made least (``latency`` or ``throughput``). rate_hz: only plans that keep up, if any does.
        deadline_s: after how long without a reply the edge finishes a frame; None: it waits.
        settings: how reluctant to be. rng: where the random part of that reluctance comes from; none without it.
    """

    def __init__(
        self,
        frontier: Frontier,
        *,
        objective: Objective = "latency",
        rate_hz: float | None = None,
        deadline_s: float | None = None,
        settings: ControllerSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._frontier, self._settings, self._rng = frontier, settings or ControllerSettings(), rng
        self._objective, self._rate_hz, self._deadline_s = objective, rate_hz, deadline_s
        stays = frontier.columns[3] == 0
        self._whole_s = float(frontier.columns[0][stays].min()) if stays.any() else None
        self._row: int | None = None
        self._changed_s = -math.inf
        self._factor = 1.0
        self._draw()

    def decide(
        self,
        now_s: float,
        belief: LinkBelief | None,
        loads: Loads | None = None,
        is_ready: Callable[[Plan], bool] = lambda _: True,
    ) -> Decision:
        """The plan for a frame that is taken at `now_s`.

        Raises:
            InfeasibleError: no plan is ready.
            InputError: a load that is not positive.
        """
        loads = loads or Loads()
        goal = Goal(self._objective, self._rate_hz, loads.edge, loads.cloud)
        if belief is None:
            return self._without_belief(now_s, goal, is_ready)
        link = Link(_within(belief.bandwidth_bps), belief.rtt_s + belief.startup_s)
        prices = self._prices(belief, link, goal)
        cost = self._expected(prices, belief)
        best = int(cost.argmin())
        row, wanted = best, None
        plan = self._plan(best, link, goal)
        if not is_ready(plan):
            wanted = plan
            row = self._ready_row(cost, link, goal, is_ready)
            plan = self._plan(row, link, goal)
        present, seen = self._row, _circumstances(belief, loads)
        if present is None or not is_ready(here := self._plan(present, link, goal)):
            reason = f"{_what(plan)}: the best of what is ready at {seen}"
        elif row == present:
            reason = f"{_what(plan)}: still the best of what is ready at {seen}"
        else:
            gain, needed = 1.0 - float(cost[row] / cost[present]), self._needed(now_s, belief)
            if gain > needed:
                reason = f"{_what(plan)}: {gain:.0%} better at {seen}"
            else:
                reason = (
                    f"no change: to {_what(plan)} would gain {gain:.1%} at {seen}, less than the {needed:.1%} it must"
                )
                row, plan = present, here
        probe = self._probe_pays(prices, belief, goal, row)
        return Decision(plan, self._take(now_s, row), reason, probe, wanted)

    def _without_belief(self, now_s: float, goal: Goal, is_ready: Callable[[Plan], bool]) -> Decision:
        if self._row is not None and is_ready(plan := self._plan(self._row, _UNKNOWN, goal)):
            return Decision(plan, False, "nothing is known of the link yet: no change without evidence", True)
        price = self._price(_UNKNOWN, goal)
        cost = self._kept_up(price, self._keeps_up(price))
        row = self._ready_row(cost, _UNKNOWN, goal, is_ready)
        plan = self._plan(row, _UNKNOWN, goal)
        reason = f"nothing is known of the link yet, so it starts with what suits the slowest: {_what(plan)}"
        return Decision(plan, self._take(now_s, row), reason, True)

    def _take(self, now_s: float, row: int) -> bool:
        """Makes a row the present one; returns whether it was another."""
        changed = row != self._row
        if changed:
            self._row, self._changed_s = row, now_s
            self._draw()
        return changed

    def _draw(self) -> None:
        if self._rng is not None:
            self._factor = 1.0 + self._settings.spread * self._rng.uniform(-1.0, 1.0)

    def _needed(self, now_s: float, belief: LinkBelief) -> float:
        settings = self._settings
        needed = self._factor * (settings.margin + settings.doubt * (1.0 - belief.confidence))
        return needed * settings.hold_factor if now_s - self._changed_s < self._factor * settings.hold_s else needed

    def _prices(self, belief: LinkBelief, middle: Link, goal: Goal) -> list[_Price]:
        """What every row costs at each point of the belief."""
        rates = belief.bandwidth_bps * np.exp(belief.deviation * _POINTS)
        return [self._price(Link(_within(rate), middle.rtt_s), goal) for rate in rates.tolist()]

    def _expected(self, prices: list[_Price], belief: LinkBelief) -> Floats:
        """The mean of every row's cost; whether it keeps up with the rate is judged in the middle of the belief.

        The present row is given the slack that a change must gain, or noise would throw it out and back in.
        """
        slack = 0.0 if self._row is None else self._settings.margin + self._settings.doubt * (1 - belief.confidence)
        keeps_up = self._keeps_up(prices[_MIDDLE], slack)
        return np.asarray(_WEIGHTS @ np.array([self._kept_up(price, keeps_up) for price in prices]))

    def _probe_pays(self, prices: list[_Price], belief: LinkBelief, goal: Goal, row: int) -> bool:
        """Whether the belief is stale and a frame would cost clearly less if the rate were known exactly."""
        settings = self._settings
        if belief.age_s < self._factor * settings.stale_s or self._frontier.columns[3][row]:
            return False
        costs = np.array([self._kept_up(price, self._keeps_up(price)) for price in prices])
        enough = float(_WEIGHTS @ costs[:, row]) * (1 - settings.probe_worth)
        if float(_WEIGHTS @ costs.min(axis=1)) < enough:
            return True
        if belief.age_s < self._factor * settings.rare_s:
            return False
        price = self._price(Link(_FASTEST_BPS, belief.rtt_s), goal)
        return float(self._kept_up(price, self._keeps_up(price)).min()) < enough

    def _ready_row(self, cost: Floats, link: Link, goal: Goal, is_ready: Callable[[Plan], bool]) -> int:
        for row in np.argsort(cost, kind="stable").tolist():
            if is_ready(self._plan(row, link, goal)):
                return int(row)
        raise InfeasibleError("no plan has its parts ready, not even for the edge alone")

    def _price(self, link: Link, goal: Goal) -> _Price:
        """What every row costs at one link: no more than a deadline and local finish make it."""
        stages = self._frontier.stages(link, goal)
        value, _ = self._frontier.values(stages, goal)
        if self._deadline_s is not None and self._whole_s is not None and goal.objective == "latency":
            late_s = self._deadline_s + np.maximum(self._whole_s * goal.edge_load, stages.edge_s)
            value = np.minimum(value, late_s)
        return _Price(value, stages.bottleneck_s)

    def _keeps_up(self, price: _Price, slack: float = 0.0) -> Bools | None:
        """Which rows keep up with the rate, the present one with some slack; None where no rate is asked for."""
        if self._rate_hz is None:
            return None
        keeps_up = price.bottleneck_s <= (1 + TIE) / self._rate_hz
        if self._row is not None:
            keeps_up[self._row] = price.bottleneck_s[self._row] <= (1 + TIE + slack) / self._rate_hz
        return keeps_up

    @staticmethod
    def _kept_up(price: _Price, keeps_up: Bools | None) -> Floats:
        """The objective; far more for rows that do not keep up, or the bottleneck where none does."""
        if keeps_up is None:
            return price.value
        return np.where(keeps_up, price.value, price.bottleneck_s + _NEVER_S) if keeps_up.any() else price.bottleneck_s

    def _plan(self, row: int, link: Link, goal: Goal) -> Plan:
        return self._frontier.row(row, link, goal, Verdict(goal.objective, "exact"))


def _what(plan: Plan) -> str:
    if not plan.sent:
        return "everything at the edge"
    names = ", ".join(tensor.tensor for tensor in plan.sent)
    return f"send {names} ({format_size(plan.sent_bytes)})"


def _circumstances(belief: LinkBelief, loads: Loads) -> str:
    text = f"{format_bandwidth(belief.bandwidth_bps)} and a round trip of {format_duration(belief.rtt_s)}"
    for side, load in (("edge", loads.edge), ("cloud", loads.cloud)):
        if abs(load - 1.0) >= 0.05:
            text += f", the {side} {load:.2g} times slower than its profile"
    return text


def _within(bandwidth_bps: float) -> float:
    return min(max(bandwidth_bps, _SLOWEST_BPS), _FASTEST_BPS)
