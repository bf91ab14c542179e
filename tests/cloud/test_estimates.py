import pytest

from dnn_surgery.cloud.estimates import Estimates


def test_nothing_is_known_before_anything_ran() -> None:
    estimates = Estimates()
    assert estimates.expected_s("tail", 0.0) == 0.0
    assert estimates.slowdown == 1.0


def test_slow_first_runs_count_for_nothing_and_later_ones_by_their_median() -> None:
    estimates = Estimates()
    estimates.record("tail", 9.0, 0.0)
    estimates.record("tail", 1.0, 1.0)
    assert estimates.expected_s("tail", 1.0) == 1.0
    for at_s, seconds in enumerate((2.0, 2.0, 2.0), start=2):
        estimates.record("tail", seconds, float(at_s))
    assert estimates.expected_s("tail", 5.0) == 2.0
    assert estimates.expected_s("other", 5.0) == 0.0


def test_a_slow_time_is_forgotten_so_that_nobody_is_refused_for_ever() -> None:
    estimates = Estimates()
    estimates.record("tail", 60.0, 0.0)
    assert estimates.expected_s("tail", 10.0) == 60.0
    assert estimates.expected_s("tail", 16.0) == 0.0


def test_the_slowdown_is_a_median_against_the_profile_over_all_tails() -> None:
    estimates = Estimates(lambda tail: {"small": 0.1, "large": 1.0}.get(str(tail)))
    for _ in range(6):
        estimates.record("small", 0.2, 0.0)
        estimates.record("large", 2.0, 0.0)
    estimates.record("small", 50.0, 0.0)  # a stall
    estimates.record("unknown", 7.0, 0.0)  # in no profile
    assert estimates.slowdown == pytest.approx(2.0)
    estimates.forget_predictions()
    assert estimates.slowdown == 1.0


def test_tails_that_clients_make_up_do_not_fill_the_memory() -> None:
    estimates = Estimates(lambda _: 1.0)
    for number in range(2000):
        estimates.record(number, 1.0, 0.0)
    assert sum(estimates.expected_s(number, 0.0) > 0 for number in range(2000)) == 512
    assert len(estimates._predicted) == 512
