"""What a simulation is given and what it gives: the link, the frames, who decides, what became of every frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.edge.controller import Loads
from dnn_surgery.errors import InputError
from dnn_surgery.planning import Link, Plan, Problem

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

    `under_way`: bytes of the upload on the link, and the seconds it has taken so far. `pinging_s`: for so long a ping
    has been without an answer. `link_free_s` is known to a clairvoyant only, since it depends on the rate to come.
    """

    now_s: float
    link_free_s: float
    loads: Loads
    under_way: tuple[float, float] | None
    pinging_s: float = 0.0


class Choice(NamedTuple):
    """The plan of a frame, whether to probe the link beside it, and in how many seconds to ping if the link is idle."""

    plan: Plan
    probe: bool = False
    ping_in_s: float | None = None


class Policy(Protocol):
    """Decides for every frame. All seconds are of the simulation's clock."""

    def probe_bytes(self, now_s: float) -> int:
        """How much to upload as a probe."""

    def is_puzzled(self) -> bool:
        """Whether the probe that just ended should be confirmed by another one at once."""

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


_ANY_LINK = Link(1e6)


def costs_of(problem: Problem, edge: tuple[str, ...], codecs: tuple[tuple[str, str], ...]) -> Costs:
    """What a partition costs at load 1."""
    plan = problem.cost(edge=edge, link=_ANY_LINK, codecs=dict(codecs))
    inside = set(edge)
    local_s = sum(layer.edge_s for layer in problem.layers if layer.name not in inside)
    return Costs(plan.edge_s, plan.sent_bytes, plan.cloud_s, local_s)
