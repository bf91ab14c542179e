"""Which plan the next frame takes: belief about the link and loads in, a decision with its reason out.

Pure: no clock, no sockets; the device's run time and the simulation use the very same object. The rule, in order:

1. nothing known of the link: stay at the edge (or where one is) and ask for a probe, never a blind jump;
2. of all plans whose parts are ready take the one that is expected to cost least (:mod:`dnn_surgery.edge.pricing`) - if
   it beats the present one by more than a margin that grows with doubt, and with the freshness of the last change;
3. a better plan that is not ready is named, so that it can be compiled;
4. a link that owes the answer to a ping is stalled: this one frame takes what does not wait for it;
5. where knowing the link better is worth it, ask for a probe; and for a ping just before the next frame.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dnn_surgery.edge.pricing import SLOWEST, Price, Pricing, within
from dnn_surgery.errors import InfeasibleError
from dnn_surgery.network.estimator import LinkBelief
from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Objective, Plan
from dnn_surgery.planning.score import Verdict
from dnn_surgery.planning.structure import Floats
from dnn_surgery.units import format_bandwidth, format_duration, format_size

_PERIODS = 5


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
    A ping is wanted `look_s` and a round trip before the next frame. One that is late by t seconds then means a link
    that stays stalled for `stall_factor` t more: the longer a stall has lasted, the longer it will.
    """

    margin: float = 0.02
    doubt: float = 0.1
    hold_s: float = 2.0
    hold_factor: float = 2.0
    spread: float = 0.5
    stale_s: float = 1.0
    probe_worth: float = 0.02
    rare_s: float = 60.0
    look_s: float = 0.3
    stall_factor: float = 4.0


@dataclass(frozen=True)
class Decision:
    """What to do with the next frame, and why.

    `changed`: another plan than for the frame before. `probe`: more evidence about the link is wanted. `wanted`: a
    better plan whose parts are not compiled yet. `ping_in_s`: when to ping, so that its answer is due before the next
    frame; None where no frame would depend on it.
    """

    plan: Plan
    changed: bool
    reason: str
    probe: bool = False
    wanted: Plan | None = None
    ping_in_s: float | None = None


class _Seen(NamedTuple):
    """What a decision rests on; `link` is the middle of the belief, `outlook` what all plans cost."""

    now_s: float
    belief: LinkBelief
    loads: Loads
    link: Link
    goal: Goal
    outlook: list[Price]
    is_ready: Callable[[Plan], bool]


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
        self._objective, self._rate_hz = objective, rate_hz
        self._pricing = Pricing(frontier, rate_hz=rate_hz, deadline_s=deadline_s)
        self._row: int | None = None  # the present plan's
        self._taken: int | None = None  # that of the frame before: another one where it dodged a stall
        self._changed_s = self._asked_s = -math.inf
        self._periods_s: deque[float] = deque(maxlen=_PERIODS)
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
        if self._asked_s > -math.inf:
            self._periods_s.append(now_s - self._asked_s)
        self._asked_s = now_s
        if belief is None:
            return self._without_belief(now_s, goal, is_ready)
        link = Link(within(belief.bandwidth_bps), belief.rtt_s + belief.startup_s)
        seen = _Seen(now_s, belief, loads, link, goal, self._pricing.outlook(belief, goal), is_ready)
        row, reason, wanted = self._settle(seen)
        self._keep(now_s, row)
        probe, taken = self._probe_pays(seen, row), row
        if belief.stalled_s and self._pricing.sends[row]:
            taken = self._dodge(seen, row)
            if taken != row:
                probe = True  # in place of the evidence that the frame would have been
                late = format_duration(belief.stalled_s)
                reason = f"{_what(self._plan(taken, link, goal))}: for this frame, since a ping is late by {late}"
        plan = self._plan(taken, link, goal)
        return Decision(plan, self._take(taken), reason, probe, wanted, self._ping_in_s(belief, row))

    def _settle(self, seen: _Seen) -> tuple[int, str, Plan | None]:
        """The row that is the present one from now on, why, and a better one that is not ready."""
        cost = self._expected(seen.outlook, seen.belief)
        row, wanted = int(cost.argmin()), None
        plan = self._plan(row, seen.link, seen.goal)
        if not seen.is_ready(plan):
            wanted = plan
            row = self._ready_row(cost, seen.link, seen.goal, seen.is_ready)
            plan = self._plan(row, seen.link, seen.goal)
        present, at = self._row, _circumstances(seen.belief, seen.loads)
        if present is None or not seen.is_ready(self._plan(present, seen.link, seen.goal)):
            return row, f"{_what(plan)}: the best of what is ready at {at}", wanted
        if row == present:
            return row, f"{_what(plan)}: still the best of what is ready at {at}", wanted
        gain, needed = 1.0 - float(cost[row] / cost[present]), self._needed(seen.now_s, seen.belief)
        if gain > needed:
            return row, f"{_what(plan)}: {gain:.0%} better at {at}", wanted
        reason = f"no change: to {_what(plan)} would gain {gain:.1%} at {at}, less than the {needed:.1%} it must"
        return present, reason, wanted

    def _without_belief(self, now_s: float, goal: Goal, is_ready: Callable[[Plan], bool]) -> Decision:
        if self._row is not None and is_ready(plan := self._plan(self._row, SLOWEST, goal)):
            return Decision(plan, False, "nothing is known of the link yet: no change without evidence", True)
        cost = self._pricing.at(self._pricing.price(SLOWEST, goal))
        row = self._ready_row(cost, SLOWEST, goal, is_ready)
        plan = self._plan(row, SLOWEST, goal)
        reason = f"nothing is known of the link yet, so it starts with what suits the slowest: {_what(plan)}"
        self._keep(now_s, row)
        return Decision(plan, self._take(row), reason, True)

    def _dodge(self, seen: _Seen, present: int) -> int:
        """The row for a frame that meets a stalled link: the present one, or one that costs clearly less."""
        stalled_s = self._settings.stall_factor * seen.belief.stalled_s
        cost = self._expected(self._pricing.outlook(seen.belief, seen.goal, stalled_s), seen.belief)
        row = self._ready_row(cost, seen.link, seen.goal, seen.is_ready)
        return row if cost[row] < cost[present] * (1 - self._needed(seen.now_s, seen.belief)) else present

    def _ping_in_s(self, belief: LinkBelief, row: int) -> float | None:
        """So that its answer is due `look_s` before the next frame, if that one is likely to be sent."""
        if not self._periods_s or not self._pricing.sends[row]:
            return None
        wait_s = statistics.median(self._periods_s) - belief.rtt_s - self._settings.look_s
        return wait_s if wait_s > 0 else None

    def _keep(self, now_s: float, row: int) -> None:
        """Makes a row the present one."""
        if row != self._row:
            self._row, self._changed_s = row, now_s
            self._draw()

    def _take(self, row: int) -> bool:
        """Notes which row the frame takes; returns whether the one before took another."""
        changed, self._taken = row != self._taken, row
        return changed

    def _draw(self) -> None:
        if self._rng is not None:
            self._factor = 1.0 + self._settings.spread * self._rng.uniform(-1.0, 1.0)

    def _needed(self, now_s: float, belief: LinkBelief) -> float:
        settings = self._settings
        needed = self._factor * (settings.margin + settings.doubt * (1.0 - belief.confidence))
        return needed * settings.hold_factor if now_s - self._changed_s < self._factor * settings.hold_s else needed

    def _expected(self, outlook: list[Price], belief: LinkBelief) -> Floats:
        slack = self._settings.margin + self._settings.doubt * (1 - belief.confidence)
        return self._pricing.expected(outlook, self._row, slack)

    def _probe_pays(self, seen: _Seen, row: int) -> bool:
        """Whether the belief is stale and a frame would cost clearly less if the rate were known exactly."""
        settings, belief = self._settings, seen.belief
        if belief.age_s < self._factor * settings.stale_s or self._pricing.sends[row]:
            return False
        here_s, if_known_s = self._pricing.if_known(seen.outlook, row)
        enough_s = here_s * (1 - settings.probe_worth)
        if if_known_s < enough_s:
            return True
        if belief.age_s < self._factor * settings.rare_s:
            return False
        return self._pricing.at_best(belief.rtt_s, seen.goal) < enough_s

    def _ready_row(self, cost: Floats, link: Link, goal: Goal, is_ready: Callable[[Plan], bool]) -> int:
        for row in cost.argsort(kind="stable").tolist():
            if is_ready(self._plan(row, link, goal)):
                return int(row)
        raise InfeasibleError("no plan has its parts ready, not even for the edge alone")

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
