"""When the cloud is given up and when it is used again; the clock is a number."""

from __future__ import annotations

from dnn_surgery.edge.health import Health
from dnn_surgery.errors import DeadlineError, UnreachableError

GONE, LATE = UnreachableError("gone"), DeadlineError("late")


def test_a_lost_server_is_pinged_with_backoff_and_used_as_soon_as_it_answers() -> None:
    health = Health(first_ping_s=0.1, longest_ping_s=0.5)
    assert health.failed(GONE, 10.0)
    assert not health.failed(GONE, 10.01)  # frames under way together lose it once
    assert health.lost
    now_s, waits_s = 10.0, []
    for _ in range(8):
        wait_s = health.until_ping_s(now_s)
        waits_s.append(wait_s)
        now_s += wait_s
        assert health.until_ping_s(now_s) <= 1e-9
        assert not health.pinged(False, now_s)
    assert waits_s == sorted(waits_s)
    assert abs(waits_s[0] - 0.1) < 1e-9
    assert abs(waits_s[-1] - 0.5) < 1e-9
    # So whenever it comes back, the next ping is at most half a second away.
    assert health.pinged(True, now_s)
    assert not health.lost
    assert health.away_s(now_s) == now_s - 10.0


def test_a_server_that_is_there_but_late_is_tried_less_and_less_until_it_answers_frames() -> None:
    health = Health(first_trial_s=1.0, longest_trial_s=4.0)
    now_s, waits_s = 0.0, []
    for _ in range(4):
        assert health.failed(LATE, now_s)
        waits_s.append(health.until_ping_s(now_s))
        now_s += waits_s[-1]
        assert health.pinged(True, now_s)
    assert waits_s == [1.0, 2.0, 4.0, 4.0]
    health.worked()
    health.failed(LATE, now_s)
    assert health.until_ping_s(now_s) == 1.0


def test_pings_while_all_is_well_change_nothing() -> None:
    health = Health()
    assert not health.pinged(True, 1.0)
    assert not health.pinged(False, 2.0)
    assert not health.lost
    assert health.until_ping_s(2.0) == float("inf")
