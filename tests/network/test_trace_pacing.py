"""A direction that follows a trace, with times made up."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.network.pacing import CHUNK_S, Pacer, Queue
from dnn_surgery.network.trace_pacing import LinkClock, TracePacer
from dnn_surgery.network.traces import MahimahiTrace, SteppedTrace, read_trace

SHORT = Path(__file__).parent / "data" / "short.up"


def pacer_on(moments_ms: list[int], start_s: float = 100.0) -> TracePacer:
    clock = LinkClock()
    clock.start(start_s)
    return TracePacer(MahimahiTrace(np.array(moments_ms, dtype=np.int64)), clock)


def pieces_of(pacer: TracePacer, size_bytes: int, now_s: float) -> list[Any]:
    return list(pacer.spread(size_bytes, now_s))


def test_bytes_leave_at_the_trace_s_moments_on_the_link_s_clock() -> None:
    pacer = pacer_on([5, 7, 2000])
    assert pieces_of(pacer, 4500, 100.0) == [(3000, pytest.approx(100.007)), (1500, pytest.approx(102.0))]


def test_a_moment_without_bytes_is_lost_and_a_part_of_one_is_not() -> None:
    pacer = pacer_on([5, 7, 2000])
    assert pieces_of(pacer, 100, 100.006) == [(100, pytest.approx(100.007))]
    assert pieces_of(pacer, 1400, 100.0065) == [(1400, pytest.approx(100.007))]  # fits into the same moment
    assert pieces_of(pacer, 1, 100.0066) == [(1, pytest.approx(102.0))]


def test_any_split_into_messages_leaves_as_mahimahi_s_queue_would() -> None:
    trace = read_trace(SHORT)
    draw = np.random.default_rng(5)
    clock = LinkClock()
    clock.start(0.0)
    pacer, total = TracePacer(trace, clock), 0
    for _ in range(300):
        size = int(draw.integers(1, 4000))
        total += size
        pieces = list(pacer.spread(size, 0.0))
        assert sum(piece for piece, _ in pieces) == size
        assert pieces[-1][1] == trace.finish(0.0, total)
        assert all(left_s <= pieces[-1][1] for _, left_s in pieces)


def test_an_end_leaves_after_what_was_sent_and_takes_no_capacity() -> None:
    pacer = pacer_on([5, 7, 2000])
    assert pieces_of(pacer, 0, 100.0) == [(0, 100.0)]
    list(pacer.spread(3000, 100.0))
    assert pieces_of(pacer, 0, 100.0) == [(0, pytest.approx(100.007))]


def test_room_in_a_queue_of_bytes_and_of_seconds() -> None:
    pacer = pacer_on(list(range(1, 1001)))
    list(pacer.spread(150_000, 100.0))  # leaves until 100.1
    assert pacer.room_at(Queue(length_s=0.03)) == pytest.approx(100.07)
    assert pacer.room_at(Queue(size_bytes=45_000)) == pytest.approx(100.07)
    rate = Pacer(12e6)
    list(rate.spread(150_000, 100.0))
    assert rate.room_at(Queue(length_s=0.03)) == pytest.approx(100.07)
    assert rate.room_at(Queue(size_bytes=45_000)) == pytest.approx(100.07)


def test_steps_leave_in_pieces_of_a_few_milliseconds() -> None:
    clock = LinkClock(start_at_s=1.0)
    clock.start(50.0)
    pacer = TracePacer(SteppedTrace(np.array([0.0, 1.0]), np.array([1e6, 8e6]), 3.0), clock)
    pieces = list(pacer.spread(100_000, 50.0))
    assert pieces[-1][1] == pytest.approx(50.1)
    assert max(piece for piece, _ in pieces) <= math.ceil(CHUNK_S * 1e6) + 1


def test_a_clock_starts_once_and_shows_nothing_else_before() -> None:
    clock = LinkClock(start_at_s=30.0)
    assert (clock.is_running, clock.at(1000.0)) == (False, 30.0)
    clock.start(1000.0)
    clock.start(2000.0)
    assert clock.at(1001.5) == 31.5
    assert clock.when(31.5) == 1001.5


def test_its_rate_cannot_be_set() -> None:
    with pytest.raises(InputError, match="follows a trace"):
        pacer_on([1, 2]).rate_bps = 5.0
