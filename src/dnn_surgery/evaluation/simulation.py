"""The pipeline of the device's run time in simulated time: edge, link, cloud; bounded queues, deadline, local finish.

    arrival -> [waiting] -> edge -> [link queue] -> link (one tensor at a time) -> cloud -> reply
                   |          ^                       |
                skipped       +---- local finish <----+ deadline, counted from the end of the edge's part

The link is a function of time (`scenario.Uplink`), so what a transfer takes is what the trace gives from its first
second to its last. A policy is told only what a device could know: what replies and pings took, once they are there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

from dnn_surgery.evaluation.scenario import Costs, FinishedBy, Frame, Policy, Run, Scenario, Status, costs_of
from dnn_surgery.planning import Plan

PING_BYTES = 64
_FIRST_PINGS, _FIRST_PROBES, _FIRST_PROBE_BYTES = 3, 3, 30_000
_IDLE_FULL_S = 1.0


def simulate(scenario: Scenario, policy: Policy) -> Run:
    """Runs all frames; the same scenario, policy and seeds give the same run."""
    return _Simulation(scenario, policy).run()


class _Simulation:
    """The state of the pipeline between two events."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        self.scenario, self.policy = scenario, policy
        self.now_s = self._link_used_s = self._pinged_s = scenario.start_s
        self._begun_s = self._link_free_s = self._cloud_free_s = -math.inf
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._random = itertools.count(), random.Random(scenario.seed)
        self._frames: list[Frame] = []
        self._waiting: deque[Frame] = deque()  # for the edge
        self._returned: deque[Frame] = deque()  # to be finished by the edge
        self._to_send: deque[Frame] = deque()
        self._on_link: Frame | None = None
        self._edge_busy = self._blocked = self._probing = self._pinging = False
        self._in_flight = self._probes = self._changes = 0
        self._probed_bytes = 0.0
        self._last_plan: Plan | None = None
        self._costs: dict[int, Costs] = {}
        self._known: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Costs] = {}

    def run(self) -> Run:
        if self.scenario.frames:
            self._connect()
            self._happen()
        given_s = -math.inf
        for frame in self._frames:
            if frame.finished_by != "skipped":
                frame.done_s = given_s = max(given_s, frame.done_s)
        return Run(tuple(self._frames), self._probes, self._probed_bytes, self._changes)

    def _at(self, when_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), happen))

    def _connect(self) -> None:
        """As the run time does: pings and probes, and when they are done the first frame."""
        for _ in range(_FIRST_PINGS):
            self._ping()
            self._happen()
        for _ in range(_FIRST_PROBES):
            # The same for every policy, so that all of them see the same frames.
            self._probe(_FIRST_PROBE_BYTES, confirm=False)
            self._happen()
        self._begun_s = self.now_s
        self._arrive(0)

    def _happen(self) -> None:
        while self._events:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()

    def _arrive(self, index: int) -> None:
        full = len(self._waiting) >= self.scenario.queue
        if full and self.scenario.overload == "block":
            self._blocked = True
            return
        frame = Frame(index, self.now_s)
        self._frames.append(frame)
        if full:
            frame.finished_by = "skipped"
        else:
            self._waiting.append(frame)
            self._start_edge()
        if index + 1 < self.scenario.frames:
            next_s = self._begun_s + (index + 1) / self.scenario.rate_hz
            self._at(max(self.now_s, next_s), lambda: self._arrive(index + 1))

    def _start_edge(self) -> None:
        if self._edge_busy:
            return
        load = self.scenario.loads(self.now_s).edge
        if self._returned:
            frame = self._returned.popleft()
            seconds = self._costs[frame.index].local_s * load * self._noise()
            self._edge_busy = True
            self._at(self.now_s + seconds, lambda: self._edge_done(frame, local=True))
        elif self._waiting and self._in_flight < self.scenario.in_flight:
            frame = self._waiting.popleft()
            self._edge_busy = True
            self._in_flight += 1
            self._begin(frame)
            seconds = self._costs[frame.index].edge_s * load * self._noise()
            self._at(self.now_s + seconds, lambda: self._edge_done(frame, local=False))
            if self._blocked:
                self._blocked = False
                self._at(self.now_s, lambda: self._arrive(len(self._frames)))

    def _begin(self, frame: Frame) -> None:
        choice = self.policy.choose(self._status())
        frame.plan, frame.begun_s = choice.plan, self.now_s
        key = (choice.plan.edge, tuple((sent.tensor, sent.codec) for sent in choice.plan.sent))
        costs = self._known.get(key)
        if costs is None:
            costs = self._known[key] = costs_of(self.scenario.problem, *key)
        self._costs[frame.index] = costs
        before = self._last_plan
        if before is not None and (before.edge != choice.plan.edge or before.sent != choice.plan.sent):
            self._changes += 1
        self._last_plan = choice.plan
        if choice.probe:
            self._probe(self.policy.probe_bytes(self.now_s))
        if choice.ping_in_s is not None:
            self._at(self.now_s + choice.ping_in_s, lambda: self._ping_if(True))

    def _status(self) -> Status:
        under_way = None
        if self._on_link is not None:
            under_way = (self._on_link.sent_bytes, self.now_s - self._on_link.sending_s)
        pinging_s = self.now_s - self._pinged_s if self._pinging else 0.0
        return Status(self.now_s, self._link_free_s, self.scenario.loads(self.now_s), under_way, pinging_s)

    def _edge_done(self, frame: Frame, *, local: bool) -> None:
        self._edge_busy = False
        if local or not self._costs[frame.index].up_bytes:
            self._finish(frame, "local" if local else "edge")
            return
        frame.ready_s = self.now_s
        self._to_send.append(frame)
        self._at(self.now_s + self.scenario.deadline_s, lambda: self._give_up(frame))
        self._start_link()
        self._start_edge()

    def _start_link(self) -> None:
        if self._on_link is not None or self._probing or not self._to_send:
            return
        frame = self._on_link = self._to_send.popleft()
        frame.sending_s, frame.sent_bytes = self.now_s, self._costs[frame.index].up_bytes
        idle_s = self.now_s - self._link_used_s
        end_s = self._link_free_s = self._upload(frame.sent_bytes, idle_s)
        self._at(end_s, lambda: self._sent(frame, idle_s))

    def _upload(self, size_bytes: float, idle_s: float) -> float:
        startup_s = self.scenario.startup_s * min(1.0, idle_s / _IDLE_FULL_S)
        return self.scenario.link.finish(self.now_s + startup_s, size_bytes)

    def _sent(self, frame: Frame, idle_s: float) -> None:
        if self._on_link is not frame:
            return
        self._free_link()
        half_s, took_s = self.scenario.rtt_s / 2, self.now_s - frame.sending_s
        begins_s = max(self.now_s + half_s, self._cloud_free_s)
        seconds = self._costs[frame.index].cloud_s * self.scenario.loads(begins_s).cloud * self._noise()
        self._cloud_free_s = begins_s + seconds
        self._at(self._cloud_free_s + half_s, lambda: self._reply(frame, took_s, idle_s))

    def _reply(self, frame: Frame, took_s: float, idle_s: float) -> None:
        if frame.finished_by is not None or frame in self._returned:
            return
        self.policy.transfer(frame.sent_bytes, took_s + self.scenario.rtt_s, self.now_s, idle_s=idle_s)
        self._finish(frame, "cloud")

    def _give_up(self, frame: Frame) -> None:
        if frame.finished_by is not None:
            return
        begun_s = self.now_s - frame.sending_s if frame.sending_s == frame.sending_s else 0.0
        self.policy.failed(self.now_s, size_bytes=frame.sent_bytes if begun_s else 0.0, seconds=begun_s)
        self._returned.append(frame)
        if self._on_link is frame:
            self._free_link()
        elif frame in self._to_send:
            self._to_send.remove(frame)
        self._start_edge()

    def _free_link(self) -> None:
        self._on_link, self._link_used_s, self._link_free_s = None, self.now_s, self.now_s
        self._start_link()

    def _finish(self, frame: Frame, by: FinishedBy) -> None:
        frame.finished_by, frame.done_s = by, self.now_s
        self._in_flight -= 1
        self._start_edge()
        self._ping_if(self.policy.wants_ping(self.now_s))

    def _ping_if(self, wanted: bool) -> None:
        if wanted and self._on_link is None and not self._probing and not self._pinging:
            self._ping()

    def _ping(self) -> None:
        self._pinging, self._pinged_s = True, self.now_s
        seconds = self.scenario.link.finish(self.now_s, PING_BYTES) - self.now_s + self.scenario.rtt_s

        def done() -> None:
            self._pinging = False
            self.policy.ping(seconds, self.now_s)

        self._at(self.now_s + seconds, done)

    def _probe(self, size_bytes: int, *, confirm: bool = True) -> None:
        if self._on_link is not None or self._probing:
            return
        begun_s = self.now_s
        idle_s = self.now_s - self._link_used_s
        end_s = self._upload(size_bytes, idle_s)
        seconds = min(end_s - self.now_s, self.scenario.deadline_s)
        self._probing, self._link_free_s = True, self.now_s + seconds
        self._probes += 1
        self._probed_bytes += size_bytes

        def sent() -> None:
            self._probing = False
            self._free_link()
            if end_s > self.now_s + 1e-12:
                self.policy.failed(self.now_s, size_bytes=size_bytes, seconds=seconds)
            else:
                self._at(self.now_s + self.scenario.rtt_s, replied)

        def replied() -> None:
            self.policy.transfer(size_bytes, self.now_s - begun_s, self.now_s, idle_s=idle_s)
            if confirm and self.policy.is_puzzled():
                self._probe(self.policy.probe_bytes(self.now_s))

        self._at(self.now_s + seconds, sent)

    def _noise(self) -> float:
        return math.exp(self._random.gauss(0.0, self.scenario.jitter)) if self.scenario.jitter else 1.0
