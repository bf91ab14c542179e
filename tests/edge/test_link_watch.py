"""What several threads learn of the link, with a clock that stands still."""

from __future__ import annotations

import pytest

from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.errors import DeadlineError


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def watch_of(clock: Clock) -> LinkWatch:
    watch = LinkWatch(clock=clock)
    watch.assume(5e6, 0.04)
    for _ in range(3):
        watch.pinged(0.04)
    return watch


def stalled_s(watch: LinkWatch) -> float:
    belief = watch.belief()
    assert belief is not None
    return belief.stalled_s


def test_a_ping_that_somebody_wants_is_due_then_and_once() -> None:
    clock = Clock()
    watch = watch_of(clock)
    assert watch.until_ping_s() == 0.5  # to look again; none is due
    watch.ping_in(0.3)
    assert watch.until_ping_s() == pytest.approx(0.3)
    clock.now_s += 0.31
    assert watch.until_ping_s() == 0.0
    watch.pinging()
    watch.pinged(0.04)
    assert watch.until_ping_s() == 0.5


@pytest.mark.parametrize("answered", [True, False])
def test_a_ping_that_is_out_is_a_stall_until_it_ends(answered: bool) -> None:
    clock = Clock()
    watch = watch_of(clock)
    watch.pinging()
    assert stalled_s(watch) == 0.0
    clock.now_s += 0.5
    assert stalled_s(watch) == pytest.approx(0.44, abs=0.01)
    if answered:
        watch.pinged(0.5)
    else:
        watch.ping_failed(DeadlineError("no answer"))
    clock.now_s += 0.5
    assert stalled_s(watch) == 0.0
    assert (watch.lost is None) == answered
