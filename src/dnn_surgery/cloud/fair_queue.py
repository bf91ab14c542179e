"""The queue: bounded, fair between clients, and it begins nothing that would come too late.

Each client has a lane of its own, first in first out. Turns go by self-clocked fair queueing (Golestani 1994): a lane's
tag grows with the seconds that it was given, and whose next request would end at the smallest tag is next; so clients
share the computing, not the number of requests. A newcomer begins where the last finished request ended. Were it where
that began (start-time fair queueing), newcomers would pass a client's second request again and again: with 50 equal
clients at 80 % load, the slowest hundredth then waits 1.7 times as long as first come first served, and so 1.0 times.
When the queue is full, the longest lane gives up its newest request to a shorter one. Pure: no clock, no thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dnn_surgery.errors import BusyError

WorkT = TypeVar("WorkT")

# What a request is taken to cost before one like it has run; it only keeps turns moving.
_UNKNOWN_COST_S = 1e-3

# Costs are estimates, of the moment at which each request came: who would end later by less than this share of its own
# cost ends at the same time. Otherwise requests change places for a difference that is none.
_EQUAL = 0.5

# Nobody is sent away for less or for longer.
_LEAST_HINT_S, _LONGEST_HINT_S = 0.05, 10.0


@dataclass(eq=False, slots=True)
class Job(Generic[WorkT]):
    """Something to run for a client. `cost_s` is what it is expected to take, 0 if that is unknown."""

    client: str
    work: WorkT
    arrived_s: float = 0.0
    cost_s: float = 0.0
    size_bytes: int = 0
    deadline_s: float = math.inf

    def cannot_make_it(self, now_s: float) -> bool:
        """Whether it would end after its deadline if it began now."""
        return now_s + self.cost_s > self.deadline_s


@dataclass(slots=True)
class _Lane(Generic[WorkT]):
    tag_s: float
    jobs: deque[Job[WorkT]] = field(default_factory=deque)
    size_bytes: int = 0
    cost_s: float = 0.0


class FairQueue(Generic[WorkT]):
    """Jobs that wait.

    Args:
        max_jobs: so many may wait.
        max_bytes: so many bytes may be held by those that wait; see also `running_bytes`.
    """

    def __init__(self, *, max_jobs: int, max_bytes: int) -> None:
        self._max_jobs, self._max_bytes = max_jobs, max_bytes
        self._lanes: dict[str, _Lane[WorkT]] = {}
        self._past_tags: dict[str, float] = {}
        # Where a newcomer begins: the end of the last request that was finished, and of the one that runs.
        self._now_tag_s = self._running_tag_s = 0.0
        self._length = 0
        self.size_bytes = 0
        # What runs is out of the queue, but still in memory.
        self.running_bytes = 0

    def __len__(self) -> int:
        return self._length

    @property
    def clients(self) -> int:
        """How many have something waiting."""
        return len(self._lanes)

    @property
    def backlog_s(self) -> float:
        """What all that waits is expected to take."""
        return sum(lane.cost_s for lane in self._lanes.values())

    def wait_s(self, job: Job[WorkT]) -> float:
        """How long the job would wait if it came now: no lane is served more than its own fair share before it."""
        lane = self._lanes.get(job.client)
        ahead_s = lane.cost_s if lane else 0.0
        mine_s = ahead_s + job.cost_s
        others = (min(other.cost_s, mine_s) for name, other in self._lanes.items() if name != job.client)
        return ahead_s + sum(others)

    def put(self, job: Job[WorkT], now_s: float) -> list[Job[WorkT]]:
        """Takes a job in; returns those that had to go for it.

        Raises:
            BusyError: there is no room, or its deadline cannot be met.
        """
        if now_s + self.wait_s(job) + job.cost_s > job.deadline_s:
            raise BusyError("the deadline cannot be met any more", retry_after_s=self.hint_s())
        if job.size_bytes > self._max_bytes:
            raise BusyError(f"the request holds {job.size_bytes} bytes, more than the limit of {self._max_bytes}")
        gone: list[Job[WorkT]] = []
        while reason := self._reason(job):
            victim = self._victim(job, by_bytes=self._length < self._max_jobs)
            if victim is None:
                for other in reversed(gone):
                    self._append(other)
                raise BusyError(reason, retry_after_s=self.hint_s())
            self.remove(victim)
            gone.append(victim)
        self._append(job)
        return gone

    def check_room(self, client: str) -> None:
        """Whether a request of the client would be taken in now, as far as that can be said without it.

        Raises:
            BusyError: there is no room.
        """
        newcomer = Job[Any](client, None)
        reason = self._reason(newcomer)
        if reason and self._victim(newcomer, by_bytes=self._length < self._max_jobs) is None:
            raise BusyError(reason, retry_after_s=self.hint_s())

    def pop(self, now_s: float) -> tuple[Job[WorkT] | None, list[Job[WorkT]]]:
        """The next job (None: nothing waits), and those on the way to it whose deadlines cannot be met any more."""
        late: list[Job[WorkT]] = []
        while self._lanes:
            name = self._next()
            job = self._lanes[name].jobs[0]
            if job.cannot_make_it(now_s):
                self.remove(job)
                late.append(job)
                continue
            self._charge(job)
            self.remove(job)
            return job, late
        return None, late

    def pop_alike(self, is_alike: Callable[[WorkT], bool], at_most: int, now_s: float) -> list[Job[WorkT]]:
        """Up to `at_most` jobs that may run together with the last one, in order of turns."""
        found: list[Job[WorkT]] = []
        for name in sorted(self._lanes, key=self._end_s):
            while len(found) < at_most and name in self._lanes:
                job = self._lanes[name].jobs[0]
                if not is_alike(job.work) or job.cannot_make_it(now_s):
                    break
                self._charge(job)
                self.remove(job)
                found.append(job)
        return found

    def remove(self, job: Job[WorkT]) -> bool:
        """Takes a job out, say because its client has gone; whether it was still there."""
        lane = self._lanes.get(job.client)
        if lane is None or job not in lane.jobs:
            return False
        lane.jobs.remove(job)
        lane.size_bytes -= job.size_bytes
        lane.cost_s -= job.cost_s
        self.size_bytes -= job.size_bytes
        self._length -= 1
        if not lane.jobs:
            del self._lanes[job.client]
            self._past_tags[job.client] = lane.tag_s
            if len(self._past_tags) > 2 * self._max_jobs:
                # A tag that lies behind is worth no more than none.
                self._past_tags = {name: tag for name, tag in self._past_tags.items() if tag > self._now_tag_s}
        return True

    def drain(self) -> list[Job[WorkT]]:
        """Takes everything out."""
        jobs = [job for lane in self._lanes.values() for job in lane.jobs]
        for job in jobs:
            self.remove(job)
        return jobs

    def hint_s(self) -> float:
        """When another try is worth it: once half of what waits now is done."""
        return min(max(_LEAST_HINT_S, self.backlog_s / 2), _LONGEST_HINT_S)

    def _append(self, job: Job[WorkT]) -> None:
        lane = self._lanes.get(job.client)
        if lane is None:
            tag_s = max(self._now_tag_s, self._past_tags.pop(job.client, 0.0))
            lane = self._lanes[job.client] = _Lane(tag_s)
        lane.jobs.append(job)
        lane.size_bytes += job.size_bytes
        lane.cost_s += job.cost_s
        self.size_bytes += job.size_bytes
        self._length += 1

    def _end_s(self, client: str) -> float:
        """The tag at which a lane's next job would end."""
        lane = self._lanes[client]
        return lane.tag_s + (lane.jobs[0].cost_s or _UNKNOWN_COST_S)

    def _next(self) -> str:
        """Whose turn it is: of all that would end first, give or take, who came first."""
        first_s = min(map(self._end_s, self._lanes))
        equals = (
            client
            for client, lane in self._lanes.items()
            if self._end_s(client) - _EQUAL * lane.jobs[0].cost_s <= first_s
        )
        return min(equals, key=lambda client: self._lanes[client].jobs[0].arrived_s)

    def _charge(self, job: Job[WorkT]) -> None:
        lane = self._lanes[job.client]
        self._now_tag_s = max(self._now_tag_s, self._running_tag_s)
        lane.tag_s += job.cost_s or _UNKNOWN_COST_S
        self._running_tag_s = lane.tag_s

    def _reason(self, job: Job[WorkT]) -> str:
        if self._length >= self._max_jobs:
            return f"the queue is full: {self._length} requests wait"
        held_bytes = self.size_bytes + self.running_bytes
        if held_bytes and held_bytes + job.size_bytes > self._max_bytes:
            return f"the requests that wait hold {held_bytes} bytes already"
        return ""

    def _victim(self, job: Job[WorkT], *, by_bytes: bool) -> Job[WorkT] | None:
        """The newest job of the longest lane, if that is longer than the newcomer's would be."""

        def length(lane: _Lane[WorkT]) -> int:
            return lane.size_bytes if by_bytes else len(lane.jobs)

        if not self._lanes:
            return None
        longest = max(self._lanes.values(), key=length)
        own = self._lanes.get(job.client)
        would_be = (length(own) if own else 0) + (job.size_bytes if by_bytes else 1)
        return longest.jobs[-1] if longest is not own and length(longest) > would_be else None
