"""Wilson's bound against the definition it comes from, and the numbers of frames that follow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from dnn_surgery.calibration.agreement import (
    Agreement,
    disagreeing_allowed,
    frames_needed,
    parse_accuracy,
    wilson_bound,
)
from dnn_surgery.errors import InputError


@given(data=st.data(), frames=st.integers(1, 2000))
def test_the_bound_is_wilsons(data: st.DataObject, frames: int) -> None:
    agreeing = data.draw(st.integers(0, frames))
    expected = binomtest(agreeing, frames).proportion_ci(0.95, method="wilson").low
    assert wilson_bound(agreeing, frames) == pytest.approx(expected, abs=1e-12)


def test_twenty_of_twenty_prove_84_percent() -> None:
    assert Agreement(20, 20).bound == pytest.approx(0.8389, abs=1e-4)
    assert Agreement(20, 20).share == 1
    assert Agreement(0, 0).bound == 0


@pytest.mark.parametrize(("accuracy", "disagreeing"), [(0.99, 0), (0.99, 1), (0.9, 0), (0.9, 7), (0.5, 0), (0.01, 3)])
def test_frames_needed_are_the_fewest(accuracy: float, disagreeing: int) -> None:
    needed = frames_needed(accuracy, disagreeing=disagreeing)
    assert wilson_bound(needed - disagreeing, needed) >= accuracy
    assert needed in (1, disagreeing) or wilson_bound(needed - 1 - disagreeing, needed - 1) < accuracy


def test_ninety_nine_percent_take_381_frames() -> None:
    assert frames_needed(0.99) == 381
    assert frames_needed(0.9) == 35


@given(accuracy=st.floats(0.01, 0.999), frames=st.integers(1, 600))
def test_what_is_allowed_passes_and_one_more_does_not(accuracy: float, frames: int) -> None:
    allowed = disagreeing_allowed(accuracy, frames)
    assert allowed == -1 or wilson_bound(frames - allowed, frames) >= accuracy
    assert wilson_bound(frames - allowed - 1, frames) < accuracy or allowed == frames


@pytest.mark.parametrize("accuracy", [0.0, 1.0, -1.0, math.nan, math.inf])
def test_an_accuracy_that_cannot_be_proved_is_refused(accuracy: float) -> None:
    for call in (frames_needed, lambda value: disagreeing_allowed(value, 10)):
        with pytest.raises(InputError, match="lies between 0 and 1"):
            call(accuracy)


def test_accuracies_are_read_as_people_write_them() -> None:
    assert parse_accuracy("exact") is None
    assert parse_accuracy("0.99") == 0.99
    for text in ("Exact", "99", "1", "0", "99%", "nan", ""):
        with pytest.raises(InputError):
            parse_accuracy(text)


def test_more_cannot_agree_than_there_are() -> None:
    with pytest.raises(InputError, match="4 of 3 frames"):
        Agreement(4, 3)
