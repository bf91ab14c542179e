"""Who is next among frames that wait, and what is counted."""

import numpy as np

from dnn_surgery.edge.waiting import Counts, Waiting

PIXELS = np.zeros((1, 1, 3), np.uint8)


def taken_from(waiting: Waiting, turns: int) -> list[str]:
    """The sources of the next frames, while each source offers a new one as soon as its place is free."""
    order = []
    for _ in range(turns):
        for source in waiting.priorities:
            if waiting.is_free(source):
                waiting.offer(source, "", PIXELS)
        taken = waiting.take()
        assert taken is not None
        order.append(taken[0])
    return order


def test_the_newest_frame_wins_and_the_older_one_is_counted() -> None:
    waiting = Waiting({"a": 0})
    for number in range(4):
        waiting.offer("a", f"frame {number}", PIXELS)
    taken = waiting.take()
    assert taken is not None
    assert (taken[1].name, taken[1].source_index) == ("frame 3", 3)
    assert waiting.counts() == {"a": Counts(offered=4, skipped=3, taken=1)}
    assert waiting.take() is None and waiting.is_empty


def test_equal_sources_take_turns_the_longest_waiting_first() -> None:
    waiting = Waiting({"a": 1, "b": 1, "c": 1})
    waiting.offer("c", "", PIXELS)
    waiting.offer("a", "", PIXELS)
    assert taken_from(waiting, 9) == ["c", "a", "b"] * 3


def test_a_higher_priority_gets_more_turns_and_nobody_starves() -> None:
    order = taken_from(Waiting({"low": 0, "high": 2}), 400)
    assert order[0] == "high"
    assert order.count("high") == 300
    assert max(len(run) for run in "".join(source[0] for source in order).split("l")) == 3


def test_a_frame_that_is_replaced_keeps_its_turn() -> None:
    waiting = Waiting({"low": 0, "high": 2})
    order = []
    for _ in range(40):
        waiting.offer("low", "", PIXELS)
        waiting.offer("high", "", PIXELS)
        taken = waiting.take()
        assert taken is not None
        order.append(taken[0])
    assert order.count("low") == 10


def test_what_is_dropped_counts_as_skipped() -> None:
    waiting = Waiting({"a": 0, "b": 0})
    waiting.offer("a", "", PIXELS)
    waiting.drop()
    assert waiting.counts() == {"a": Counts(1, 1, 0), "b": Counts(0, 0, 0)}
