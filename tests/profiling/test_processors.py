"""A measurement stays on its processors, gives them back, and says whether they had other work."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import pytest

from dnn_surgery.profiling.processors import OtherWork, watched

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the platform does not pin")

ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@pytest.mark.skipif(len(ALLOWED) < 2, reason="there is but one processor")
def test_every_thread_is_pinned_and_may_go_anywhere_afterwards() -> None:
    seen: dict[str, set[int]] = {}
    ask = threading.Event()
    answered = threading.Semaphore(0)

    def other() -> None:
        for key in ("inside", "after"):
            ask.wait()
            ask.clear()
            seen[key] = os.sched_getaffinity(0)
            answered.release()

    thread = threading.Thread(target=other)
    thread.start()
    with watched(threads=1) as watch:
        assert os.sched_getaffinity(0) == set(watch.processors)
        assert len(watch.processors) == 1
        ask.set()
        answered.acquire()
    ask.set()
    answered.acquire()
    thread.join()
    assert seen == {"inside": set(watch.processors), "after": ALLOWED}
    assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.parametrize(("threads", "pin"), [(len(ALLOWED), True), (1, False)])
def test_it_is_left_alone_where_all_processors_are_needed_or_nobody_asked(threads: int, pin: bool) -> None:
    with watched(threads=threads, pin=pin) as watch:
        assert os.sched_getaffinity(0) == ALLOWED
    assert watch.processors == ()


def _work(processor: int, started: object, until: object) -> None:
    os.sched_setaffinity(0, {processor})
    started.set()  # type: ignore[attr-defined]
    while not until.is_set():  # type: ignore[attr-defined]
        for _ in range(10_000):
            pass


def _work_here(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_another_process_on_the_same_processor_shows() -> None:
    context = multiprocessing.get_context("fork")
    started, until = context.Event(), context.Event()
    with watched(threads=1) as watch:
        processor = min(os.sched_getaffinity(0))
        rival = context.Process(target=_work, args=(processor, started, until))
        rival.start()
        started.wait()
        _work_here(0.6)
    until.set()
    rival.join()
    if watch.other_work is None:
        pytest.skip("the platform does not tell")
    if not watch.processors:
        pytest.skip("there is but one processor")
    assert watch.other_work.others_share > 0.2
    assert watch.busy == watch.other_work
    assert "other work took" in watch.other_work.text


@pytest.mark.parametrize(
    ("work", "busy"),
    [
        (OtherWork(0.02, 0.0, 3.0), False),
        (OtherWork(0.3, 0.0, 3.0), True),
        (OtherWork(0.0, 0.1, 3.0), True),
        (OtherWork(0.0, 0.0, 90.0), True),
    ],
)
def test_a_little_other_work_is_no_busy_machine(work: OtherWork, busy: bool) -> None:
    assert work.is_busy == busy


def test_too_short_a_look_claims_nothing() -> None:
    with watched(threads=1, pin=False) as watch:
        pass
    assert watch.other_work is None
    assert watch.busy is None
