"""Layers that add up to their segment, segments to the whole."""

from __future__ import annotations

import pytest

from dnn_surgery.profiling.scaling import Raw, scale


def test_layers_of_a_segment_add_up_to_it_and_all_to_the_whole() -> None:
    raw = Raw(
        layers={"a": [2.0], "b": [3.0], "c": [5.0]},
        segments={("b", "c"): [4.0 + 1.0]},
        whole=[10.0 + 1.0],
        call=[1.0],
    )
    scaled = scale(raw)
    # Without the calls: a 1, b 2 and c 4 of which the segment says 4 together, and the whole 10 where a and it make 5.
    assert scaled.seconds == pytest.approx({"a": 2 * 1.0, "b": 2 * 4 * 2 / 6, "c": 2 * 4 * 4 / 6})
    assert scaled.call_s + sum(scaled.seconds.values()) == pytest.approx(scaled.whole_s)


def test_spreads_are_scaled_as_their_layers_are() -> None:
    raw = Raw(layers={"a": [1.0, 2.0, 3.0]}, segments={}, whole=[4.0], call=[0.0])
    scaled = scale(raw)
    assert scaled.seconds == {"a": 4.0}
    assert scaled.spread_s == {"a": 2.0}


def test_layers_cheaper_than_a_call_share_what_the_whole_leaves() -> None:
    scaled = scale(Raw(layers={"a": [1.0], "b": [1.0]}, segments={}, whole=[3.0], call=[1.0]))
    assert scaled.seconds == {"a": 1.0, "b": 1.0}


def test_a_call_is_never_longer_than_the_whole() -> None:
    scaled = scale(Raw(layers={"a": [1.0]}, segments={}, whole=[2.0], call=[5.0]))
    assert (scaled.call_s, scaled.seconds) == (2.0, {"a": 0.0})
