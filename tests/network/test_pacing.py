"""The arithmetic of a link's direction, with times made up."""

import math
import random

import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.network.pacing import CHUNK_S, Pacer


def test_one_chunk_takes_its_bits_over_the_rate() -> None:
    assert Pacer(1e6).send(1000, now_s=10.0) == pytest.approx(10.008)


def test_chunks_follow_one_another_whoever_sends_them() -> None:
    pacer = Pacer(8000)
    assert [pacer.send(100, now_s=0.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_a_wire_that_was_idle_earns_no_credit() -> None:
    pacer = Pacer(8000)
    pacer.send(100, now_s=0.0)
    assert pacer.send(100, now_s=5.0) == pytest.approx(5.1)


def test_asking_late_while_busy_costs_no_rate() -> None:
    pacer = Pacer(8000)
    pacer.send(100, now_s=0.0)
    assert pacer.send(100, now_s=0.09) == pytest.approx(0.2)


def test_never_faster_than_the_rate_in_any_window() -> None:
    draw = random.Random(1)
    pacer, now_s, sent = Pacer(2e6), 0.0, []
    for _ in range(500):
        now_s += draw.choice([0.0, 0.0, 0.001, 0.02])
        size_bytes = draw.randint(1, 3000)
        sent.append((size_bytes, pacer.send(size_bytes, now_s)))
    for first in range(0, len(sent), 7):
        for last in range(first + 1, len(sent), 11):
            bits = 8 * sum(size for size, _ in sent[first + 1 : last + 1])
            assert sent[last][1] - sent[first][1] >= bits / 2e6 - 1e-9


def test_a_new_rate_holds_for_what_is_sent_from_then_on() -> None:
    pacer = Pacer(8000)
    pacer.send(100, now_s=0.0)
    pacer.rate_bps = 80_000
    assert pacer.send(100, now_s=0.0) == pytest.approx(0.11)


def test_an_unlimited_wire_sends_at_once() -> None:
    pacer = Pacer(math.inf)
    assert pacer.send(10**9, now_s=3.0) == 3.0


@pytest.mark.parametrize("rate_bps", [0.13e6, 1e6, 20e6, 100e6])
def test_a_chunk_is_a_few_milliseconds(rate_bps: float) -> None:
    assert Pacer(rate_bps).chunk_bytes * 8 / rate_bps == pytest.approx(CHUNK_S, rel=0.05)


def test_chunks_have_a_least_and_a_largest_size() -> None:
    assert (Pacer(1.0).chunk_bytes, Pacer(math.inf).chunk_bytes) == (64, 256 * 1024)


@pytest.mark.parametrize("rate_bps", [0.0, -1.0, math.nan])
def test_a_rate_must_be_positive(rate_bps: float) -> None:
    with pytest.raises(InputError, match="must be positive"):
        Pacer(rate_bps)
    pacer = Pacer(1.0)
    with pytest.raises(InputError, match="must be positive"):
        pacer.rate_bps = rate_bps
    assert pacer.rate_bps == 1.0
