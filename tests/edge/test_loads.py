"""Load factors from what frames took against what was predicted."""

from __future__ import annotations

import pytest

from dnn_surgery.edge.loads import LoadMeter


def test_a_factor_is_the_median_of_the_latest_ratios() -> None:
    meter = LoadMeter()
    meter.edge_took(0.1, 0.3, 0.0)
    assert meter.now(0.0).edge == 1.0  # one frame is no evidence
    for _ in range(5):
        meter.edge_took(0.1, 0.2, 1.0)
    meter.edge_took(0.1, 9.0, 1.0)  # one slow frame
    assert meter.now(1.0).edge == pytest.approx(2.0)
    assert meter.now(1.0).cloud == 1.0


def test_what_is_too_short_to_be_measured_says_nothing() -> None:
    meter = LoadMeter()
    for _ in range(5):
        meter.cloud_took(1e-6, 0.1, 0.0)
    assert meter.now(0.0).cloud == 1.0


def test_a_side_that_is_not_asked_any_more_is_forgiven() -> None:
    meter = LoadMeter(half_life_s=10.0)
    for _ in range(5):
        meter.cloud_took(0.01, 0.16, 0.0)
    assert meter.now(0.0).cloud == pytest.approx(16.0)
    assert meter.now(10.0).cloud == pytest.approx(4.0)
    assert meter.now(20.0).cloud == pytest.approx(2.0)
