import math
import random
import statistics
from collections import deque
from collections.abc import Sequence

import pytest

from dnn_surgery.cloud.fair_queue import FairQueue, Job
from dnn_surgery.errors import BusyError


def queue_of(*jobs: Job[str], max_jobs: int = 100, max_bytes: int = 10**9) -> FairQueue[str]:
    queue = FairQueue[str](max_jobs=max_jobs, max_bytes=max_bytes)
    for job in jobs:
        assert queue.put(job, 0.0) == []
    return queue


def job(
    client: str, work: str = "", *, cost_s: float = 1.0, size_bytes: int = 0, deadline_s: float = math.inf
) -> Job[str]:
    return Job(client, work, cost_s=cost_s, size_bytes=size_bytes, deadline_s=deadline_s)


def order(queue: FairQueue[str]) -> list[str]:
    taken = []
    while (popped := queue.pop(0.0)[0]) is not None:
        taken.append(popped.client + popped.work)
    return taken


def test_one_clients_requests_keep_their_order() -> None:
    assert order(queue_of(*(job("a", str(number)) for number in range(4)))) == ["a0", "a1", "a2", "a3"]


def test_a_client_with_many_requests_does_not_hold_up_one_with_few() -> None:
    queue = queue_of(*(job("a", str(number)) for number in range(4)), job("b", "0"), job("b", "1"), job("c", "0"))
    assert order(queue) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_it_is_seconds_that_are_shared_not_requests() -> None:
    heavy = [job("heavy", cost_s=4.0) for _ in range(10)]
    light = [job("light", cost_s=1.0) for _ in range(40)]
    taken = order(queue_of(*heavy, *light))
    assert (taken[:25].count("heavy"), taken[:25].count("light")) == (5, 20)


def test_who_was_away_saves_no_credit_up_and_owes_what_it_took() -> None:
    queue = queue_of(*(job("busy") for _ in range(6)))
    for _ in range(4):
        queue.pop(0.0)
    queue.put(job("newcomer", "0"), 0.0)
    queue.put(job("newcomer", "1"), 0.0)
    assert order(queue) == ["newcomer0", "busy", "newcomer1", "busy"]
    queue = queue_of(job("heavy", cost_s=10.0), job("light", cost_s=1.0))
    order(queue)
    # Both were served once; the one that took ten seconds comes later.
    queue.put(job("heavy"), 0.0)
    queue.put(job("light"), 0.0)
    assert order(queue) == ["light", "heavy"]


@pytest.mark.parametrize("error", [0.0, 0.2])
def test_among_equal_clients_the_slowest_requests_wait_no_longer_than_first_come_first_served(error: float) -> None:
    rng = random.Random(3)
    arrivals, at_s = [], 0.0
    for _ in range(2000):
        at_s += rng.expovariate(0.8)
        arrivals.append((at_s, str(rng.randrange(50)), max(0.1, rng.gauss(1.0, error))))
    assert slowest(waits(arrivals, one_lane=False)) <= 1.1 * slowest(waits(arrivals, one_lane=True))


def waits(arrivals: Sequence[tuple[float, str, float]], *, one_lane: bool) -> list[float]:
    """Seconds from arrival to end where each request runs one second, whatever it was expected to take."""
    queue = FairQueue[int](max_jobs=len(arrivals), max_bytes=1)
    coming, now_s, took_s = deque(enumerate(arrivals)), 0.0, [0.0] * len(arrivals)
    while coming or len(queue):
        if not len(queue):
            now_s = max(now_s, coming[0][1][0])
        while coming and coming[0][1][0] <= now_s:
            number, (at_s, client, cost_s) = coming.popleft()
            queue.put(Job("" if one_lane else client, number, arrived_s=at_s, cost_s=cost_s), at_s)
        popped, _ = queue.pop(now_s)
        assert popped is not None
        now_s += 1.0
        took_s[popped.work] = now_s - popped.arrived_s
    return took_s


def slowest(seconds: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(seconds, n=100)[98]


def test_a_full_queue_refuses_with_a_hint_that_grows_with_the_backlog() -> None:
    hints = []
    for cost_s in (0.01, 2.0):
        queue = queue_of(*(job("a", cost_s=cost_s) for _ in range(3)), max_jobs=3)
        with pytest.raises(BusyError, match="the queue is full: 3 requests wait") as caught:
            queue.put(job("a"), 0.0)
        hints.append(caught.value.retry_after_s)
        assert len(queue) == 3
    assert hints == [0.05, 3.0]


def test_in_a_full_queue_the_longest_lane_makes_room_for_a_shorter_one() -> None:
    queue = queue_of(*(job("a", str(number)) for number in range(3)), job("b"), max_jobs=4)
    (gone,) = queue.put(job("c"), 0.0)
    assert (gone.client, gone.work) == ("a", "2")
    assert len(queue) == 4
    # Now a has two, and nobody more than a newcomer would have with a second one.
    with pytest.raises(BusyError):
        queue.put(job("c"), 0.0)
    assert sorted(order(queue)) == ["a0", "a1", "b", "c"]


def test_whether_there_is_room_can_be_asked_without_a_request() -> None:
    queue = queue_of(job("a"), job("a"), job("b"), max_jobs=4)
    queue.check_room("a")
    queue.put(job("a"), 0.0)
    with pytest.raises(BusyError, match="the queue is full: 4 requests wait"):
        queue.check_room("a")
    queue.check_room("c")  # for which one of a's would go
    assert len(queue) == 4


def test_bytes_are_bounded_with_those_that_run() -> None:
    queue = queue_of(job("a", size_bytes=40), job("a", size_bytes=40), max_bytes=100)
    assert queue.size_bytes == 80
    (gone,) = queue.put(job("b", size_bytes=30), 0.0)
    assert (gone.client, queue.size_bytes) == ("a", 70)
    queue.running_bytes = 60
    with pytest.raises(BusyError, match="hold 130 bytes already"):
        queue.put(job("b", size_bytes=35), 0.0)
    with pytest.raises(BusyError, match="more than the limit of 100"):
        queue.put(job("b", size_bytes=101), 0.0)


def test_a_refused_request_changes_nothing() -> None:
    queue = queue_of(job("a", "0", size_bytes=30), job("a", "1", size_bytes=30), job("b", size_bytes=30), max_bytes=100)
    with pytest.raises(BusyError):
        queue.put(job("c", size_bytes=95), 0.0)
    assert (len(queue), queue.size_bytes) == (3, 90)
    assert order(queue) == ["a0", "b", "a1"]


def test_what_cannot_be_done_in_time_is_not_begun() -> None:
    queue = queue_of(job("a", "0", cost_s=1.0, deadline_s=5.0), job("b", cost_s=1.0))
    popped, late = queue.pop(4.5)
    assert popped is not None
    assert popped.client == "b"
    assert [one.client for one in late] == ["a"]
    assert len(queue) == 0


def test_a_deadline_that_the_fair_wait_already_breaks_is_refused_at_once() -> None:
    queue = queue_of(*(job("a", cost_s=1.0) for _ in range(20)))
    # b's only request waits for one of a's at most, however many a has.
    assert queue.wait_s(job("b")) == 1.0
    queue.put(job("b", deadline_s=2.5), 0.0)
    with pytest.raises(BusyError, match="deadline"):
        queue.put(job("c", deadline_s=2.5), 0.0)
    with pytest.raises(BusyError, match="deadline"):
        queue.put(job("a", deadline_s=15.0), 0.0)


def test_requests_of_one_kind_are_taken_together_in_turn() -> None:
    queue = queue_of(job("a", "x"), job("a", "x"), job("b", "y"), job("c", "x"), job("c", "x"))
    first, _ = queue.pop(0.0)
    assert first is not None
    together = queue.pop_alike(lambda work: work == "x", 2, 0.0)
    assert (first.client, [one.client for one in together]) == ("a", ["c", "c"])
    assert len(queue) == 2


def test_any_order_of_coming_and_going_keeps_the_books() -> None:
    rng = random.Random(1)
    queue = FairQueue[str](max_jobs=20, max_bytes=500)
    inside: set[Job[str]] = set()
    refused = evicted = 0
    for _ in range(5000):
        action = rng.random()
        if action < 0.6:
            new = job(rng.choice("abcde"), cost_s=rng.random(), size_bytes=rng.randrange(60))
            try:
                gone = queue.put(new, 0.0)
            except BusyError:
                refused += 1
            else:
                evicted += len(gone)
                inside.add(new)
                inside.difference_update(gone)
        elif action < 0.8 and inside:
            leaver = rng.choice(sorted(inside, key=id))
            assert queue.remove(leaver)
            assert not queue.remove(leaver)
            inside.remove(leaver)
        elif (popped := queue.pop(0.0)[0]) is not None:
            inside.remove(popped)
        assert len(queue) == len(inside) <= 20
        assert queue.size_bytes == sum(one.size_bytes for one in inside) <= 500
        assert queue.backlog_s == pytest.approx(sum(one.cost_s for one in inside), abs=1e-6)
    assert refused
    assert evicted
    assert set(queue.drain()) == inside
    assert (len(queue), queue.size_bytes, queue.clients) == (0, 0, 0)
