"""What every plan of a frontier is expected to cost, given what is believed of the link.

It is a mean over the belief, not the cost at the middle of it: seconds grow with 1 / rate, so a rate that may be low
weighs more than one that may be high. The belief is log-normal; its mean is taken at the five points of Gauss-Hermite
quadrature. Where a reply that is late is finished here, no rate costs more than that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnn_surgery.network.estimator import LinkBelief
from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.structure import Bools, Floats
from dnn_surgery.planning.ties import TIE

_SLOWEST_BPS, _FASTEST_BPS = 1.0, 1e12
SLOWEST = Link(_SLOWEST_BPS)
"""What is planned for while nothing is known."""

_NEVER_S = 1e6  # on top of the cost of a plan that does not keep up: of two such the better one still wins

# Gauss-Hermite for a standard normal variable: mean of f = _WEIGHTS @ f(_POINTS), exact for polynomials of degree 9.
_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_MIDDLE = 2


class Price(NamedTuple):
    """Of every row at one link: the objective, and the bottleneck in seconds."""

    value: Floats
    bottleneck_s: Floats


class Pricing:
    """Prices the rows of one frontier.

    Args:
        frontier: all plans. rate_hz: what they should keep up with.
        deadline_s: after how long without a reply the edge finishes a frame; None: it waits.
    """

    def __init__(self, frontier: Frontier, *, rate_hz: float | None = None, deadline_s: float | None = None) -> None:
        self._frontier, self._rate_hz, self._deadline_s = frontier, rate_hz, deadline_s
        self.sends: Bools = frontier.columns[3] > 0
        stays = ~self.sends
        self._whole_s = float(frontier.columns[0][stays].min()) if stays.any() else None

    def outlook(self, belief: LinkBelief, goal: Goal, stalled_s: float = 0.0) -> list[Price]:
        """Prices at each point of the belief. `stalled_s`: for so long nothing will leave."""
        rates = belief.bandwidth_bps * np.exp(belief.deviation * _POINTS)
        rtt_s = belief.rtt_s + belief.startup_s
        return [self.price(Link(within(rate), rtt_s), goal, stalled_s) for rate in rates.tolist()]

    def expected(self, outlook: list[Price], present: int | None, slack: float) -> Floats:
        """The mean of every row's cost; whether it keeps up with the rate is judged in the middle of the belief.

        The present row is given the slack that a change must gain, or noise would throw it out and back in.
        """
        keeps_up = self._keeps_up(outlook[_MIDDLE], present, slack)
        return np.asarray(_WEIGHTS @ np.array([self._kept_up(price, keeps_up) for price in outlook]))

    def if_known(self, outlook: list[Price], row: int) -> tuple[float, float]:
        """What `row` is expected to cost, and the best if the rate were known exactly."""
        costs = np.array([self.at(price) for price in outlook])
        return float(_WEIGHTS @ costs[:, row]), float(_WEIGHTS @ costs.min(axis=1))

    def at_best(self, rtt_s: float, goal: Goal) -> float:
        """The least cost on a link without end."""
        return float(self.at(self.price(Link(_FASTEST_BPS, rtt_s), goal)).min())

    def at(self, price: Price) -> Floats:
        """What every row costs at one link."""
        return self._kept_up(price, self._keeps_up(price))

    def price(self, link: Link, goal: Goal, stalled_s: float = 0.0) -> Price:
        """Objective and bottleneck at one link: no more than a deadline and local finish make it."""
        stages = self._frontier.stages(link, goal)
        value, _ = self._frontier.values(stages, goal)
        if goal.objective == "latency":
            if stalled_s:
                # Uploads that take longer than the stall have met such before: their rate contains it.
                more_s = stalled_s - stages.edge_s - stages.transfer_s
                value = value + np.where(self.sends, np.maximum(more_s, 0.0), 0.0)
            if self._deadline_s is not None and self._whole_s is not None:
                late_s = self._deadline_s + np.maximum(self._whole_s * goal.edge_load, stages.edge_s)
                value = np.minimum(value, late_s)
        return Price(value, stages.bottleneck_s)

    def _keeps_up(self, price: Price, present: int | None = None, slack: float = 0.0) -> Bools | None:
        """Which rows keep up with the rate, the present one with some slack; None where no rate is asked for."""
        if self._rate_hz is None:
            return None
        keeps_up = price.bottleneck_s <= (1 + TIE) / self._rate_hz
        if present is not None:
            keeps_up[present] = price.bottleneck_s[present] <= (1 + TIE + slack) / self._rate_hz
        return keeps_up

    @staticmethod
    def _kept_up(price: Price, keeps_up: Bools | None) -> Floats:
        """The objective; far more for rows that do not keep up, or the bottleneck where none does."""
        if keeps_up is None:
            return price.value
        return np.where(keeps_up, price.value, price.bottleneck_s + _NEVER_S) if keeps_up.any() else price.bottleneck_s


def within(bandwidth_bps: float) -> float:
    """A rate that can be planned with."""
    return min(max(bandwidth_bps, _SLOWEST_BPS), _FASTEST_BPS)
