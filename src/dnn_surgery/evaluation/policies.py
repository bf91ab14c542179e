"""Who decides in a simulation: a fixed plan, the device's own controller, other causal rules, a clairvoyant.

- :class:`Fixed`: one plan for ever.
- :class:`Online`: the very `LinkEstimator` and `Controller` of the device.
- :class:`Replanner`: any planner, run on what the estimator believes.
- :class:`Smoothed`: a moving average of the rate and a margin; a grid of these, tuned in hindsight, is what is meant by
  the best causal policy.
- :class:`Oracle`: knows the whole future of the link and takes, for each frame by itself, the plan of least true
  latency: edge, wait for the link, transfer as the trace will really carry it, round trip, cloud; or deadline and local
  finish. It never probes. Where frames do not overlap (one is done before the next arrives) no policy has a lower mean
  latency; where they do, the oracle is greedy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dnn_surgery.edge.controller import Controller, Loads
from dnn_surgery.evaluation.scenario import Choice, Scenario, Status, costs_of
from dnn_surgery.network.estimator import LinkBelief, LinkEstimator
from dnn_surgery.planning import Frontier, Goal, Link, Plan, Problem
from dnn_surgery.planning.plan import Objective
from dnn_surgery.planning.score import Verdict
from dnn_surgery.planning.structure import Floats

PROBE_BYTES = 30_000
"""About twenty packets: long enough to see a rate, short enough to be cheap."""

_SLOWEST_BPS = 1.0


class Deaf:
    """What every policy does with evidence by default: nothing."""

    def probe_bytes(self, now_s: float) -> int:  # noqa: ARG002
        """Twenty packets."""
        return PROBE_BYTES

    def is_puzzled(self) -> bool:
        """Never."""
        return False

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:
        """Not listened to."""

    def ping(self, seconds: float, now_s: float) -> None:
        """Not listened to."""

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:
        """Not listened to."""

    def wants_ping(self, now_s: float) -> bool:  # noqa: ARG002
        """Never."""
        return False


class Fixed(Deaf):
    """The same plan for every frame."""

    def __init__(self, plan: Plan) -> None:
        self._choice = Choice(plan)

    def choose(self, status: Status) -> Choice:  # noqa: ARG002
        """The plan."""
        return self._choice


class Listening(Deaf):
    """A policy with the device's own estimator."""

    def __init__(self, estimator: LinkEstimator | None = None) -> None:
        self.estimator = estimator or LinkEstimator()

    def probe_bytes(self, now_s: float) -> int:
        """As the estimator says."""
        return self.estimator.probe_bytes(now_s)

    def is_puzzled(self) -> bool:
        """Whether the estimator is."""
        return self.estimator.is_puzzled

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:
        """To the estimator."""
        self.estimator.transfer(size_bytes, seconds, now_s, idle_s=idle_s)

    def ping(self, seconds: float, now_s: float) -> None:
        """To the estimator."""
        self.estimator.ping(seconds, now_s)

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:
        """To the estimator."""
        self.estimator.failed(now_s, size_bytes=size_bytes, seconds=seconds)

    def wants_ping(self, now_s: float) -> bool:
        """As the estimator wishes."""
        return self.estimator.wants_ping(now_s)


class Online(Listening):
    """The device's controller on the device's estimator."""

    def __init__(self, controller: Controller, estimator: LinkEstimator | None = None) -> None:
        super().__init__(estimator)
        self.controller = controller

    def choose(self, status: Status) -> Choice:
        """What the controller decides."""
        belief = self.estimator.belief(status.now_s, under_way=status.under_way, pinging_s=status.pinging_s)
        decision = self.controller.decide(status.now_s, belief, status.loads)
        return Choice(decision.plan, decision.probe, decision.ping_in_s)


class Replanner(Listening):
    """A planner from anywhere, asked for every frame at the link that is believed in; probes while it sends nothing.

    Args:
        planner: from a link and a goal to a plan. first: what it does before anything is known of the link.
    """

    def __init__(self, planner: Callable[[Link, Goal], Plan], first: Plan, *, goal: Goal, probe_s: float = 2.0) -> None:
        super().__init__()
        self._planner, self._first, self._goal, self._probe_s = planner, first, goal, probe_s

    def choose(self, status: Status) -> Choice:
        """What the planner says."""
        belief = self.estimator.belief(status.now_s)
        if belief is None:
            return Choice(self._first, True)
        goal = replace(self._goal, edge_load=status.loads.edge, cloud_load=status.loads.cloud)
        plan = self._planner(_link(belief), goal)
        return Choice(plan, not plan.sent and belief.age_s >= self._probe_s)


class Smoothed(Deaf):
    """A moving average of what transfers saw, and a margin; the best plan there.

    Args:
        frontier: all plans. power: the average is of rate ** power: 1 arithmetic, -1 harmonic, 0 geometric mean.
        alpha: weight of the newest value. pessimism: the estimate is multiplied by it. margin: what a change must gain.
        probe_s: while nothing is sent the link is probed so often.
    """

    def __init__(
        self,
        frontier: Frontier,
        *,
        power: float = -1.0,
        alpha: float = 0.3,
        pessimism: float = 1.0,
        margin: float = 0.0,
        probe_s: float = 2.0,
        objective: Objective = "latency",
    ) -> None:
        self._frontier, self._power, self._alpha, self._pessimism = frontier, power, alpha, pessimism
        self._margin, self._probe_s, self._goal = margin, probe_s, Goal(objective)
        self._mean: float | None = None
        self._rtt_s: float | None = None
        self._row: int | None = None
        self._heard_s = -math.inf

    def choose(self, status: Status) -> Choice:
        """The best plan at the average."""
        link = Link(_SLOWEST_BPS)
        if self._mean is not None:
            rate = math.exp(self._mean) if self._power == 0 else self._mean ** (1 / self._power)
            link = Link(max(rate * self._pessimism, _SLOWEST_BPS), self._rtt_s or 0.0)
        goal = replace(self._goal, edge_load=status.loads.edge, cloud_load=status.loads.cloud)
        cost, _ = self._frontier.values(self._frontier.stages(link, goal), goal)
        best = int(cost.argmin())
        if self._row is None or cost[best] < cost[self._row] * (1 - self._margin):
            self._row = best
        plan = self._frontier.row(self._row, link, goal, Verdict(goal.objective, "smoothed"))
        return Choice(plan, not plan.sent and status.now_s - self._heard_s >= self._probe_s)

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:  # noqa: ARG002
        """Into the average."""
        self._add(8 * size_bytes / max(seconds - (self._rtt_s or 0.0), 1e-4), now_s)

    def ping(self, seconds: float, now_s: float) -> None:  # noqa: ARG002
        """Round trips are averaged slowly."""
        self._rtt_s = seconds if self._rtt_s is None else 0.8 * self._rtt_s + 0.2 * seconds

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:
        """As if the upload had just been done."""
        if size_bytes and seconds:
            self._add(8 * size_bytes / seconds, now_s)

    def wants_ping(self, now_s: float) -> bool:
        """Until there is one, and now and then."""
        return self._rtt_s is None or now_s % 5.0 < 0.5

    def _add(self, bandwidth_bps: float, now_s: float) -> None:
        value = math.log(bandwidth_bps) if self._power == 0 else bandwidth_bps**self._power
        self._mean = value if self._mean is None else self._mean + self._alpha * (value - self._mean)
        self._heard_s = now_s


class Rows(NamedTuple):
    """The plans that no other beats in edge seconds, bytes and cloud seconds alike; their :class:`Costs` [4, plans]."""

    plans: list[Plan]
    costs: Floats


def rows_of(problem: Problem, frontier: Frontier) -> Rows:
    """What a clairvoyant chooses from."""
    columns = np.asarray(frontier.columns[:3])
    plans, costs = [], []
    for row in range(len(frontier)):
        no_worse = (columns <= columns[:, row : row + 1]).all(axis=0)
        if (columns[:, no_worse] == columns[:, row : row + 1]).all():
            plan = frontier.row(row, Link(1e6), Goal(), Verdict("latency", "oracle"))
            plans.append(plan)
            costs.append(costs_of(problem, plan.edge, tuple((sent.tensor, sent.codec) for sent in plan.sent)))
    return Rows(plans, np.array(costs).T)


def latencies(scenario: Scenario, rows: Rows, now_s: float, link_free_s: float, loads: Loads | None = None) -> Floats:
    """What a frame that begins now would truly take with each plan, deadline and local finish included: [plans]."""
    loads = loads or Loads()
    edge_s, up_bytes, cloud_s, local_s = rows.costs
    edge_s, local_s, cloud_s = edge_s * loads.edge, local_s * loads.edge, cloud_s * loads.cloud
    ready_s = now_s + edge_s
    sent_s = scenario.link.finish(np.maximum(ready_s, link_free_s), up_bytes) - ready_s
    remote_s = sent_s + scenario.rtt_s + cloud_s
    remote_s = np.where(remote_s > scenario.deadline_s, scenario.deadline_s + local_s, remote_s)
    return np.asarray(edge_s + np.where(up_bytes > 0, remote_s, 0.0))


class Oracle(Deaf):
    """See the module's text."""

    def __init__(self, scenario: Scenario, frontier: Frontier) -> None:
        self._scenario = scenario
        self._rows = rows_of(scenario.problem, frontier)

    def choose(self, status: Status) -> Choice:
        """The plan of least true latency for this frame."""
        found = latencies(self._scenario, self._rows, status.now_s, status.link_free_s, status.loads)
        return Choice(self._rows.plans[int(found.argmin())])


def _link(belief: LinkBelief) -> Link:
    return Link(belief.bandwidth_bps, belief.rtt_s)
