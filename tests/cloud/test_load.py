import pytest

from dnn_surgery.cloud.load import ClientCount, LoadMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_idle_server_has_load_one() -> None:
    meter = LoadMeter(clock=Clock())
    assert meter.record(queue_s=0.0, compute_s=0.1) == 1.0
    assert LoadMeter(clock=Clock()).record(queue_s=0.0, compute_s=0.0) == 1.0


def test_waiting_as_long_as_computing_doubles_it() -> None:
    assert LoadMeter(clock=Clock()).record(queue_s=0.1, compute_s=0.1) == pytest.approx(2.0)


def test_a_tiny_tail_behind_a_large_one_hardly_counts() -> None:
    meter = LoadMeter(clock=Clock())
    meter.record(queue_s=0.0, compute_s=1.0)
    assert meter.record(queue_s=0.5, compute_s=0.001) == pytest.approx(1 + 0.5 / 1.001)


def test_what_is_past_fades_by_half_in_each_half_life() -> None:
    clock = Clock()
    meter = LoadMeter(half_life_s=2.0, clock=clock)
    meter.record(queue_s=4.0, compute_s=1.0)
    clock.now_s = 4.0
    assert meter.record(queue_s=0.0, compute_s=1.0) == pytest.approx(1 + 1.0 / 1.25)
    clock.now_s = 10_000.0
    assert meter.record(queue_s=0.0, compute_s=1.0) == pytest.approx(1.0)


def test_clients_count_while_they_were_seen_lately() -> None:
    count = ClientCount(window_s=10.0)
    assert [count.note("a", 0.0), count.note("b", 4.0), count.note("a", 8.0)] == [1, 2, 2]
    assert (count.count(13.0), count.count(15.0), count.count(19.0)) == (2, 1, 0)
