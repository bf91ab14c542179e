"""What the benchmarks over recorded links make of their figures; the figures themselves take minutes."""

from __future__ import annotations

import pytest

from benchmarks.figure import Figure
from benchmarks.trace_tuning import WIDTH, drawn, regret, table_of
from benchmarks.traces import AHEAD, BEHIND, PAST, TUNED, ahead
from dnn_surgery.edge.controller import ControllerSettings
from dnn_surgery.evaluation.contenders import ORACLE
from dnn_surgery.network.link_filter import EstimatorSettings


def case(name: str, *, behind: float, oracle: float, tuned: float = 0.0, past: float = 0.0) -> list[Figure]:
    leads = {ORACLE: oracle, TUNED: tuned, PAST: past}
    return [
        Figure(name + BEHIND, behind, "%"),
        *(Figure(name + AHEAD[policy], lead, "%") for policy, lead in leads.items()),
    ]


def test_a_lead_counts_where_a_causal_policy_has_one_and_where_only_the_oracle_has() -> None:
    figures = [
        *case("won, and nobody else", behind=-2.0, oracle=5.0),
        *case("lost to the past", behind=0.5, oracle=9.0, past=3.0),
        *case("foresight alone", behind=0.0, oracle=8.0),
        *case("level", behind=0.0, oracle=0.5),
        Figure("worst" + BEHIND, 0.5, "%"),
    ]
    by_oracle, by_causal = ahead(figures)
    assert (by_oracle.value, by_oracle.at_least) == (1, 3)
    assert (by_causal.value, by_causal.at_least) == (1, 2)


def test_settings_are_drawn_around_the_defaults_and_again_the_same() -> None:
    assert drawn(0) == (EstimatorSettings(), ControllerSettings())
    assert drawn(7) == drawn(7) != drawn(8)
    for number in range(1, 20):
        estimator, controller = drawn(number)
        assert 1 / WIDTH <= estimator.noise / EstimatorSettings().noise <= WIDTH
        assert 1 / WIDTH <= controller.margin / ControllerSettings().margin <= WIDTH
        assert estimator.pings == EstimatorSettings().pings


def test_what_is_tuned_on_the_others_is_scored_on_the_one_left_out() -> None:
    least = {("a", "net"): 1.0, ("b", "net"): 2.0}
    defaults = {("a", "net"): 1.1, ("b", "net"): 2.2}
    good_on_a = {("a", "net"): 1.0, ("b", "net"): 3.0}
    assert regret(defaults, least, {"a", "b"}) == pytest.approx(0.1)
    assert regret(good_on_a, least, {"b"}) == pytest.approx(0.5)
    cells = [list(column.cells) for column in table_of([defaults, good_on_a], least).columns]
    assert cells[0] == ["a", "b"]
    assert cells[1] == ["10.0%", "10.0%"]
    assert cells[2] == ["10.0%", "50.0%"]  # for b that which was best on a
    assert cells[3] == ["0.0%", "10.0%"]
