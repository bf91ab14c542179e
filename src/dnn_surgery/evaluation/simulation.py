"""The pipeline of the device's run time in simulated time: edge, link, cloud; bounded queues, deadline, local finish.

    arrival -> [waiting] -> edge -> [link queue] -> link (one tensor at a time) -> cloud -> reply
                   |          ^                       |
                skipped       +---- local finish <----+ deadline, counted from the end of the edge's part

The link is a function of time (:class:`Uplink`), so what a transfer takes is what the trace gives from its first second
to its last. A policy is told only what a device could know: what replies and pings took, once they are there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.edge.controller import Loads
from dnn_surgery.errors import InputError
from dnn_surgery.planning import Link, Plan, Problem

PING_BYTES = 64
_FIRST_PINGS = 3
IDLE_FULL_S = 1.0
FinishedBy = Literal["edge", "cloud", "local", "skipped"]
Overload = Literal["skip", "block"]


Number = TypeVar("Number", float, NDArray[np.float64])


class Uplink(Protocol):
    """A link as a function of time; a :class:`dnn_surgery.network.traces.Trace` is one."""

    def finish(self, start_s: Number, size_bytes: Number) -> Number:
        """When the last of so many bytes has left, if the first may leave at `start_s` and nothing else is sent."""


class ConstantUplink:
    """The same rate for ever; the ends of transfers have a closed form."""

    def __init__(self, bandwidth_bps: float) -> None:
        self.bandwidth_bps = bandwidth_bps

    def finish(self, start_s: Number, size_bytes: Number) -> Number:
        """See :class:`Uplink`."""
        return start_s + size_bytes * (8 / self.bandwidth_bps)


class Status(NamedTuple):
    """What is known when a frame begins: the time, when the link falls free, the loads as last measured.

    `under_way`: bytes of the upload on the link, and the seconds it has taken so far. `link_free_s` is known to a
    clairvoyant only, since it depends on the rate to come.
    """

    now_s: float
    link_free_s: float
    loads: Loads
    under_way: tuple[float, float] | None


class Choice(NamedTuple):
    """The plan of a frame, and whether to probe the link beside it."""

    plan: Plan
    probe: bool = False


class Policy(Protocol):
    """Decides for every frame. All seconds are of the simulation's clock."""

    probe_bytes: int

    def choose(self, status: Status) -> Choice:
        """The plan of the frame that begins now."""

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:
        """An upload and its reply took so long, the server's work taken out."""

    def ping(self, seconds: float, now_s: float) -> None:
        """A call without a payload took so long."""

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:
        """An upload of that size had no reply within these seconds."""

    def wants_ping(self, now_s: float) -> bool:
        """Whether to ping between two frames."""


class Costs(NamedTuple):
    """What a plan costs: seconds of edge and cloud at load 1, bytes up, seconds for the edge to do the cloud's part."""

    edge_s: float
    up_bytes: float
    cloud_s: float
    local_s: float


@dataclass(frozen=True)
class Scenario:
    """One experiment: a problem, a link, frames at a rate.

    Args:
        rate_hz: frames arrive so often from `start_s` on, `frames` of them.
        deadline_s: how long after the edge's part its reply may take, until the edge finishes the frame itself.
        queue: frames that may wait for the edge; in_flight: frames that may be between edge and reply.
        overload: a frame that finds the queue full is skipped, or the source waits (block).
        startup_s: what a transfer takes longer on a link that was idle for a second or more (less: in proportion).
        loads: of both sides over time. jitter: deviation of the logarithm of compute seconds, drawn with `seed`.
    """

    problem: Problem
    link: Uplink
    rtt_s: float
    rate_hz: float
    frames: int
    deadline_s: float
    start_s: float = 0.0
    queue: int = 1
    in_flight: int = 2
    overload: Overload = "skip"
    startup_s: float = 0.0
    loads: Callable[[float], Loads] = lambda _: Loads()
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.rate_hz > 0 and self.frames >= 0 and self.deadline_s > 0 and self.queue >= 1):
            raise InputError("a simulation needs a positive rate, deadline and queue")
        if self.in_flight < 1 or self.rtt_s < 0:
            raise InputError("a simulation needs a frame in flight and a round trip of 0 s or more")


@dataclass
class Frame:
    """What became of a frame. `done_s` is when its result is given out, in the order of the frames."""

    index: int
    arrived_s: float
    plan: Plan | None = None
    begun_s: float = math.nan
    ready_s: float = math.nan
    sending_s: float = math.nan
    done_s: float = math.nan
    finished_by: FinishedBy | None = None
    sent_bytes: float = 0.0

    @property
    def latency_s(self) -> float:
        """From its arrival to its result."""
        return self.done_s - self.arrived_s


@dataclass(frozen=True)
class Run:
    """All frames in order, and what probing and changing cost."""

    frames: tuple[Frame, ...]
    probes: int
    probe_bytes: float
    changes: int

    @property
    def answered(self) -> tuple[Frame, ...]:
        """The frames that were not skipped."""
        return tuple(frame for frame in self.frames if frame.finished_by != "skipped")


def simulate(scenario: Scenario, policy: Policy) -> Run:
    """Runs all frames; the same scenario, policy and seeds give the same run."""
    return _Simulation(scenario, policy).run()


def costs_of(problem: Problem, edge: tuple[str, ...], codecs: tuple[tuple[str, str], ...]) -> Costs:
    """What a partition costs at load 1."""
    plan = problem.cost(edge=edge, link=_ANY_LINK, codecs=dict(codecs))
    inside = set(edge)
    local_s = sum(layer.edge_s for layer in problem.layers if layer.name not in inside)
    return Costs(plan.edge_s, plan.sent_bytes, plan.cloud_s, local_s)


_ANY_LINK = Link(1e6)


@dataclass
class _Simulation:
    scenario: Scenario
    policy: Policy
    now_s: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _waiting: deque[Frame] = field(default_factory=deque)
    _returned: deque[Frame] = field(default_factory=deque)
    _to_send: deque[Frame] = field(default_factory=deque)
    _frames: list[Frame] = field(default_factory=list)
    _costs: dict[int, Costs] = field(default_factory=dict)
    _edge_busy: bool = False
    _blocked: bool = False
    _in_flight: int = 0
    _on_link: Frame | None = None
    _probing: bool = False
    _pinging: bool = False
    _link_used_s: float = -math.inf
    _link_free_s: float = -math.inf
    _cloud_free_s: float = -math.inf
    _probes: int = 0
    _probed_bytes: float = 0.0
    _changes: int = 0
    _last_plan: Plan | None = None

    def run(self) -> Run:
        self._order = itertools.count()
        self._random = random.Random(self.scenario.seed)
        self._memory: dict[tuple[tuple[str, ...], tuple[object, ...]], Costs] = {}
        self._link_used_s = self.scenario.start_s
        self.now_s = self.scenario.start_s
        if self.scenario.frames:
            self._connect()
        while self._events:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        given_s = -math.inf
        for frame in self._frames:
            if frame.finished_by != "skipped":
                frame.done_s = given_s = max(given_s, frame.done_s)
        return Run(tuple(self._frames), self._probes, self._probed_bytes, self._changes)

    def _at(self, when_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), happen))

    def _connect(self) -> None:
        """As the run time does: pings and one probe, and when they are done the first frame."""
        for _ in range(_FIRST_PINGS):
            self._ping()
            self.now_s = self._events[-1][0]
            heapq.heappop(self._events)[2]()
        self._probe()
        self._begun_s = self._link_free_s + self.scenario.rtt_s + 1e-6  # when its reply is there
        self._at(self._begun_s, lambda: self._arrive(0))

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
        costs = self._memory.get(key)
        if costs is None:
            costs = self._memory[key] = costs_of(self.scenario.problem, *key)
        self._costs[frame.index] = costs
        before = self._last_plan
        if before is not None and (before.edge != choice.plan.edge or before.sent != choice.plan.sent):
            self._changes += 1
        self._last_plan = choice.plan
        if choice.probe:
            self._probe()

    def _status(self) -> Status:
        under_way = None
        if self._on_link is not None:
            under_way = (self._on_link.sent_bytes, self.now_s - self._on_link.sending_s)
        return Status(self.now_s, self._link_free_s, self.scenario.loads(self.now_s), under_way)

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
        startup_s = self.scenario.startup_s * min(1.0, idle_s / IDLE_FULL_S)
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
        if self._on_link is None and not self._probing and not self._pinging and self.policy.wants_ping(self.now_s):
            self._ping()

    def _ping(self) -> None:
        self._pinging = True
        seconds = self.scenario.link.finish(self.now_s, PING_BYTES) - self.now_s + self.scenario.rtt_s

        def done() -> None:
            self._pinging = False
            self.policy.ping(seconds, self.now_s)

        self._at(self.now_s + seconds, done)

    def _probe(self) -> None:
        if self._on_link is not None or self._probing:
            return
        begun_s, size_bytes = self.now_s, self.policy.probe_bytes
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

        self._at(self.now_s + seconds, sent)

    def _noise(self) -> float:
        return math.exp(self._random.gauss(0.0, self.scenario.jitter)) if self.scenario.jitter else 1.0
