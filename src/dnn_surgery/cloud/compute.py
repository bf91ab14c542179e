"""The compute thread: takes jobs off the fair queue, one after the other, and hands results back to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dnn_surgery.cloud.fair_queue import FairQueue, Job
from dnn_surgery.errors import BusyError, DeadlineError, UnreachableError


@dataclass(eq=False, slots=True)
class Work:
    """What a job runs: called in the compute thread with all that run together, and the second when they began.

    `kind` is equal for what may run together; None runs alone. The result of each is its value, or the exception that
    its request is answered with.
    """

    run: Callable[[Sequence[Work], float], Sequence[Any]]
    request: Any = None
    kind: object = None
    job: Job[Work] | None = None
    done: asyncio.Future[Any] | None = field(default=None)


class ComputeThread:
    """Runs work in one thread, since a processor that does two things at once does both more slowly.

    Args:
        max_jobs, max_bytes: what may wait; see :class:`FairQueue`.
        batch: so much of one kind may run together.
        pays: whether running so many of a kind together is faster than one by one.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        max_jobs: int,
        max_bytes: int,
        clock: Callable[[], float],
        batch: int = 1,
        pays: Callable[[object], bool] = lambda _: True,
    ) -> None:
        self.queue = FairQueue[Work](max_jobs=max_jobs, max_bytes=max_bytes)
        self._clock, self._batch, self._pays = clock, batch, pays
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether what is submitted would be run."""
        return not self._closed and (self._thread is None or self._thread.is_alive())

    def close(self) -> None:
        """Waits for what is running; what still waits is given up. May be called again."""
        with self._changed:
            self._closed = True
            given_up = self.queue.drain()
            thread, self._thread = self._thread, None
            self._changed.notify()
        _fail(given_up, UnreachableError("the server is stopping"))
        if thread is not None:
            thread.join()

    def check_room(self, client: str) -> None:
        """Raises BusyError if a request of the client would be refused anyway."""
        with self._changed:
            self.queue.check_room(client)

    async def submit(
        self,
        work: Work,
        *,
        client: str = "",
        arrived_s: float = 0.0,
        cost_s: float = 0.0,
        size_bytes: int = 0,
        deadline_s: float = math.inf,
    ) -> Any:
        """The work's result, once its turn has come.

        Raises:
            BusyError: there is no room, or another client's need for it was greater.
            DeadlineError: its turn came too late.
            UnreachableError: the thread was closed.
        """
        loop = asyncio.get_running_loop()
        done = work.done = loop.create_future()
        job = work.job = Job(client, work, arrived_s, cost_s, size_bytes, deadline_s)
        with self._changed:
            if self._closed:
                raise UnreachableError("the server is stopping")
            gone = self.queue.put(job, arrived_s)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="dnn-surgery-compute")
                self._thread.start()
            hint_s = self.queue.hint_s()
            self._changed.notify()
        if gone:
            _fail(gone, BusyError("the queue is full, and others have fewer in it", retry_after_s=hint_s))
        try:
            return await done
        finally:
            if done.cancelled():
                # A request that is cancelled or whose deadline passes while it waits is never begun.
                with self._changed:
                    self.queue.remove(job)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not len(self.queue):
                    if self._closed:
                        return
                    self._changed.wait()
                begun_s = self._clock()
                job, late = self.queue.pop(begun_s)
                group = [] if job is None else [job, *self._companions(job, begun_s)]
                self.queue.running_bytes = sum(one.size_bytes for one in group)
            _fail(late, DeadlineError("the deadline cannot be met any more"))
            if group:
                self._run(group, begun_s)

    def _companions(self, job: Job[Work], now_s: float) -> list[Job[Work]]:
        kind = job.work.kind
        if self._batch <= 1 or kind is None or not self._pays(kind):
            return []
        return self.queue.pop_alike(lambda other: other.kind == kind, self._batch - 1, now_s)

    def _run(self, group: Sequence[Job[Work]], begun_s: float) -> None:
        works = [job.work for job in group]
        try:
            results: Sequence[Any] = works[0].run(works, begun_s)
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            results = [error] * len(works)
        # Before anyone knows of the result, who may then ask again at once.
        self.queue.running_bytes = 0
        for job, result in zip(group, results, strict=True):
            _deliver(job.work, result)


def _fail(jobs: Sequence[Job[Work]], error: Exception) -> None:
    for job in jobs:
        _deliver(job.work, error)


def _deliver(work: Work, result: Any) -> None:
    done = work.done
    if done is None:
        return

    def settle() -> None:
        if done.done():
            return
        if isinstance(result, BaseException):
            done.set_exception(result)
        else:
            done.set_result(result)

    # The loop may have ended, and nobody waits any more.
    with contextlib.suppress(RuntimeError):
        done.get_loop().call_soon_threadsafe(settle)
