"""Follows the link: before each frame the controller decides, after each reply its times are learnt from.

link watch --belief--+
load meter --loads---+--> controller --plan--> way of the next frame
data budget, lost? --+                              |
     ^                                              v
     +----------- times of the frame --------- uplink, cloud
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from dnn_surgery.edge.budget import DataBudget
from dnn_surgery.edge.controller import Decision, Loads
from dnn_surgery.edge.events import Event, OnEvent, ignore
from dnn_surgery.edge.frame import Taken
from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.edge.loads import QUEUE_PER_HINT, LoadMeter
from dnn_surgery.edge.runner import A_MOMENT_AGO
from dnn_surgery.edge.way import Parts, Way, Ways, deadline_of
from dnn_surgery.errors import BusyError, CodecError, NotReadyError, TensorError, TooLargeError
from dnn_surgery.execution.split import cut_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.network.estimator import LinkBelief
from dnn_surgery.planning import Plan
from dnn_surgery.units import format_duration, format_size

# What the server refused for the cut's own sake is not asked again for a while.
_REFUSED_S = 2.0


class Decides(Protocol):
    """What decides about the next frame: a :class:`~dnn_surgery.edge.controller.Controller`, or nobody."""

    def decide(
        self,
        now_s: float,
        belief: LinkBelief | None,
        loads: Loads | None = None,
        is_ready: Callable[[Plan], bool] = lambda _: True,
    ) -> Decision:
        """See :meth:`Controller.decide`."""


class Fixed:
    """Decides nothing: one plan for all frames."""

    def __init__(self, plan: Plan) -> None:
        self._decision = Decision(plan, False, "the cut is fixed")

    def decide(
        self,
        now_s: float,  # noqa: ARG002 - the signature is the controller's
        belief: LinkBelief | None,  # noqa: ARG002
        loads: Loads | None = None,  # noqa: ARG002
        is_ready: Callable[[Plan], bool] = lambda _: True,  # noqa: ARG002
    ) -> Decision:
        """The plan."""
        return self._decision


class Follower:
    """Chooses each frame's way by the link and the loads of the moment. See :class:`~dnn_surgery.edge.runner.Chooser`.

    Args:
        graph: the model. controller: decides. ways: builds what it wants.
        watch: what is known of the link.
        first: the plan of the first frames, whose parts are built, as are those of the whole model here, if it may be.
        deadline_s: how long the cloud may take for a frame; from each frame's prediction, if not given.
        budget: how many bytes may be sent.
        on_event: told of every change, with its reason.
        clock: monotonic seconds, the same as of the frames' times.
    """

    def __init__(
        self,
        graph: ModelGraph,
        controller: Decides,
        ways: Ways,
        watch: LinkWatch,
        first: Plan,
        *,
        deadline_s: float | None = None,
        budget: DataBudget | None = None,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._graph, self._controller, self._ways, self._watch = graph, controller, ways, watch
        self._deadline_s, self._budget, self._on_event, self._clock = deadline_s, budget, on_event, clock
        self._meter = LoadMeter()
        self._lock = threading.Lock()
        self._replied_s = 0.0
        self._refused: dict[tuple[str, ...], float] = {}
        self._used_up = False
        self._first = ways.build(first.edge)
        self._here: Parts | None = ways.build([layer.name for layer in graph.layers]) if ways.can_finish else None
        self.plan = first
        self.decision: Decision | None = None
        self.decided_s = 0.0
        self.decisions = 0

    @property
    def loads(self) -> Loads:
        """How loaded both sides are believed to be now."""
        return self._meter.now(self._clock())

    @property
    def budget_left_bytes(self) -> float | None:
        """What is left of the data budget; None without one."""
        return None if self._budget is None else self._budget.left_bytes(self._watch.sent_bytes, self._clock())

    def choose(self, lost: str | None) -> Way:
        """See :meth:`Chooser.choose`."""
        if lost is not None:
            return self._stay_here(lost if lost == A_MOMENT_AGO else f"{A_MOMENT_AGO}: {lost}")
        started_s = self._clock()
        loads = self._meter.now(started_s)
        decision = self._controller.decide(started_s, self._watch.belief(), loads, self._is_ready)
        self.decided_s += self._clock() - started_s
        self.decisions += 1
        self._note(decision, started_s)
        plan = decision.plan
        if self._is_used_up(plan, started_s):
            return self._stay_here("the data budget is used up")
        used = {sent.tensor: sent.codec for sent in plan.sent if sent.codec != "raw"}
        return Way(self._ways.get(plan.edge), used, self._deadline_s or deadline_of(plan), plan, loads=loads)

    def finished(self, taken: Taken) -> None:
        """See :meth:`Chooser.finished`."""
        now_s, way, times = self._clock(), taken.way, taken.times
        if isinstance(taken.error, (NotReadyError, TooLargeError, CodecError, TensorError)):
            with self._lock:
                self._refused[way.parts.edge] = now_s + _REFUSED_S
        plan = way.predicted
        if plan is None:
            return
        self._meter.edge_took(plan.edge_s / way.loads.edge, times.edge_end_s - times.edge_start_s, now_s)
        if taken.reply is not None:
            # Of the queue only what others caused: the pipeline itself counts for the frames before this one.
            ours_s = max(0.0, self._replied_s - times.received_s) if times.received_s else taken.reply.queue_s
            others_s = max(0.0, taken.reply.queue_s - ours_s)
            self._replied_s = times.replied_s
            self._meter.cloud_took(plan.cloud_s / way.loads.cloud, taken.reply.compute_s + others_s, now_s)
        elif isinstance(taken.error, BusyError):
            cloud_s = plan.cloud_s / way.loads.cloud
            self._meter.cloud_failed(cloud_s, cloud_s + QUEUE_PER_HINT * taken.error.retry_after_s, now_s)

    def _is_ready(self, plan: Plan) -> bool:
        with self._lock:
            refused = self._refused and self._refused.get(plan.edge, 0.0) > self._clock()
        return not refused and self._ways.is_ready(plan.edge)

    def _note(self, decision: Decision, now_s: float) -> None:
        first = self.decision is None
        self.decision, self.plan = decision, decision.plan
        if decision.probe:
            self._watch.probe_wanted = True
        if decision.ping_in_s is not None:
            self._watch.ping_in(decision.ping_in_s)
        if decision.changed and not first:
            name = cut_name(self._graph, decision.plan.edge)
            fields = {"cut": name, "reason": decision.reason, "latency_s": decision.plan.latency_s}
            self._on_event(Event("cut", f"cut: {name}: {decision.reason}", now_s, fields))

    def _stay_here(self, obstacle: str) -> Way:
        if self._here is None:
            return Way(self._first, obstacle=obstacle)
        return Way(self._here, obstacle=obstacle)

    def _is_used_up(self, plan: Plan, now_s: float) -> bool:
        """Whether the data budget does not hold this frame any more."""
        if self._budget is None:
            return False
        left_bytes = self._budget.left_bytes(self._watch.sent_bytes, now_s)
        used_up = plan.sent_bytes > 0 and plan.sent_bytes > left_bytes
        if used_up != self._used_up and plan.sent_bytes > 0:
            self._used_up = used_up
            renewed = format_duration(max(0.0, self._budget.renewed_in_s(now_s)))
            text = (
                f"the data budget is used up, all stays here for {renewed}"
                if used_up
                else f"the data budget holds {format_size(left_bytes)} again"
            )
            self._on_event(Event("budget", text, now_s, {"left_bytes": max(0.0, left_bytes)}))
        return used_up
