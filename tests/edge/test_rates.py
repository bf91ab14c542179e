"""When frames are due and what rates fit, with times made up."""

import random

import pytest

from dnn_surgery.edge.rates import Governor, Pace, share_throughput


def test_a_pace_is_kept_although_each_frame_comes_a_little_late() -> None:
    pace, offered, draw = Pace(10.0), [], random.Random(1)
    now_s = 100.0
    while now_s < 110.0:
        if pace.is_due(now_s):
            offered.append(now_s)
            pace.offered(now_s)
        now_s += draw.uniform(0.01, 0.03)
    assert len(offered) == pytest.approx(100, abs=2)


def test_a_late_source_does_not_catch_up() -> None:
    pace = Pace(10.0)
    pace.offered(0.0)
    assert not pace.is_due(0.099)
    assert pace.wait_s(0.06) == pytest.approx(0.04)
    pace.offered(5.0)
    assert not pace.is_due(5.09)
    assert pace.is_due(5.1)


def test_without_a_rate_every_frame_is_due() -> None:
    pace = Pace(None)
    pace.offered(1.0)
    assert pace.is_due(1.0) and pace.wait_s(1.0) == 0


def test_what_fits_is_left_as_it_is() -> None:
    wanted = {"a": 5.0, "b": 2.0}
    assert share_throughput(wanted, {"a": 0, "b": 3}, 7.0) == wanted


def test_equal_priorities_lose_the_same_share() -> None:
    assert share_throughput({"a": 6.0, "b": 2.0}, {"a": 1, "b": 1}, 4.0) == pytest.approx({"a": 3.0, "b": 1.0})


def test_a_higher_priority_loses_less_and_nobody_is_left_with_nothing() -> None:
    rates = share_throughput({"low": 10.0, "high": 10.0}, {"low": 0, "high": 2}, 8.0)
    assert rates == pytest.approx({"low": 2.0, "high": 6.0})
    rates = share_throughput({"low": 10.0, "high": 10.0}, {"low": 0, "high": 2}, 16.0)
    assert rates == pytest.approx({"low": 6.0, "high": 10.0})


@pytest.mark.parametrize("seed", range(20))
def test_shares_fit_and_use_what_there_is(seed: int) -> None:
    draw = random.Random(seed)
    wanted = {str(number): draw.uniform(0.1, 30) for number in range(draw.randint(1, 6))}
    priorities = {name: draw.randint(0, 4) for name in wanted}
    throughput_hz = draw.uniform(0.5, 60)
    rates = share_throughput(wanted, priorities, throughput_hz)
    assert sum(rates.values()) == pytest.approx(min(throughput_hz, sum(wanted.values())))
    assert all(0 < rates[name] <= wanted[name] for name in wanted)


def consume(governor: Governor, busy_s: float, start_s: float, frames: int, skipping: bool) -> float:
    now_s = start_s
    for _ in range(frames):
        governor.pulled(busy_s)
        now_s += busy_s
        if skipping:
            governor.skipped(now_s)
        governor.decide(now_s)
    return now_s


def test_rates_go_down_to_what_the_consumer_manages_and_up_again() -> None:
    governor = Governor({"a": 20.0, "b": 20.0}, {"a": 0, "b": 0})
    now_s = consume(governor, 0.1, 0.0, 20, skipping=True)
    assert sum(governor.rates_hz.values()) == pytest.approx(9.5)
    lowered = dict(governor.rates_hz)
    now_s = consume(governor, 0.1, now_s, 100, skipping=False)
    assert governor.rates_hz == lowered  # it manages no more than before
    consume(governor, 0.01, now_s, 1000, skipping=False)
    assert governor.rates_hz == {"a": 20.0, "b": 20.0}


def test_without_skipped_frames_rates_stay_although_the_consumer_seems_slow() -> None:
    governor = Governor({"a": 20.0}, {"a": 0})
    consume(governor, 1.0, 0.0, 20, skipping=False)
    assert governor.rates_hz == {"a": 20.0}
