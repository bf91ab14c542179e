"""The data budget of a run."""

from __future__ import annotations

import pytest

from dnn_surgery.edge.budget import DataBudget
from dnn_surgery.errors import InputError, UnitError


def test_what_is_sent_is_taken_off_until_the_next_period() -> None:
    budget = DataBudget(1000, 60.0)
    assert budget.left_bytes(0, 100.0) == 1000
    assert budget.left_bytes(700, 130.0) == 300
    assert budget.left_bytes(1100, 159.0) == -100
    assert budget.renewed_in_s(159.0) == 1.0
    assert budget.left_bytes(1100, 160.0) == 1000
    assert budget.left_bytes(1300, 170.0) == 800
    assert budget.left_bytes(1300, 400.0) == 1000  # periods in which nothing was asked


def test_budgets_are_written_as_people_write_them() -> None:
    assert DataBudget.parse("2GB/month") == DataBudget(2_000_000_000, 30 * 86400.0)
    for text in ("2GB", "2GB/decade", "many/day"):
        with pytest.raises(UnitError):
            DataBudget.parse(text)
    with pytest.raises(InputError, match="must be positive"):
        DataBudget.parse("0B/day")
