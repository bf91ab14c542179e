"""DSL's minimum cut against brute force, and what each of its corrections is for."""

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning import Link, Plan, Problem, plan
from tests.planning.brute_force import rows
from tests.planning.strategies import BANDWIDTHS, problems

TINY = {
    "name": "tiny",
    "outputs": ["b"],
    "layers": [
        {"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 5, "param_bytes": 0},
        {"name": "a", "inputs": ["in"], "edge_s": 10, "cloud_s": 1, "output_bytes": 25},
        {"name": "b", "inputs": ["a"], "edge_s": 1, "cloud_s": 4, "output_bytes": 4},
    ],
}


def tiny() -> Problem:
    return Problem.from_json(json.dumps(TINY))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    document=problems(codecs=True, rules=True),
    bandwidth=BANDWIDTHS,
    rtt=st.sampled_from([0.0, 0.04, 3.0]),
    down=st.booleans(),
)
def test_no_partition_has_less_latency(document: dict[str, Any], bandwidth: float, rtt: float, down: bool) -> None:
    link = Link(bandwidth, rtt, 2 * bandwidth if down else None)
    problem = Problem.from_json(json.dumps(document))
    known = [row.latency_s(bandwidth, rtt, 2 * bandwidth if down else math.inf) for row in rows(document)]
    if not known:
        with pytest.raises(InfeasibleError):
            plan(problem, link, algorithm="dsl")
        return
    found = plan(problem, link, algorithm="dsl")
    assert found.latency_s == pytest.approx(min(known), rel=1e-9, abs=1e-300)
    assert found.optimal
    assert found.gap is not None
    assert found.gap <= 1e-9
    again = problem.cost(edge=found.edge, link=link, codecs={sent.tensor: sent.codec for sent in found.sent})
    assert again.latency_s == found.latency_s


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=problems(layers=6, codecs=True, measured=True), bandwidth=BANDWIDTHS)
def test_measured_rows_leave_a_true_bound(document: dict[str, Any], bandwidth: float) -> None:
    best = min(row.latency_s(bandwidth) for row in rows(document))
    found = plan(Problem.from_json(json.dumps(document)), Link(bandwidth), algorithm="dsl")
    assert found.gap is not None
    assert found.latency_s >= best * (1 - 1e-9)
    assert found.latency_s * (1 - found.gap) <= best * (1 + 1e-9)
    if found.optimal:
        assert found.latency_s == pytest.approx(best, rel=1e-9, abs=1e-300)


def test_the_counter_example_of_the_uncorrected_graph() -> None:
    # The paper's graph says 2 here, with `b` back at the edge and the upload free; 6 is the least that can run.
    found = plan(tiny(), Link(bandwidth_bps=40))
    assert found.latency_s == 6
    assert found.edge == ("in",)
    assert [sent.tensor for sent in found.sent] == ["in"]


@pytest.mark.parametrize(
    ("mbit", "last", "latency_s"), [(18, "max3", 0.567356), (4, "max5", 0.770288), (1.1, "max5", 1.207629)]
)
def test_the_papers_network(paper: Problem, mbit: float, last: str, latency_s: float) -> None:
    found = plan(paper, Link(mbit * 1e6))
    assert found.edge[-1] == last
    assert found.latency_s == pytest.approx(latency_s, abs=1e-6)
    assert found.optimal


def test_the_round_trip_is_paid_once_and_only_when_something_is_sent(paper: Problem) -> None:
    sends = plan(paper, Link(18e6, rtt_s=0.1))
    assert sends.rtt_s == 0.1
    assert sends.latency_s == pytest.approx(0.567356 + 0.1)
    stays = plan(paper, Link(18e6, rtt_s=10))
    assert (stays.sent, stays.rtt_s) == ((), 0.0)


def test_the_result_comes_back_only_from_the_cloud() -> None:
    there = tiny().cost(edge=["in"], link=Link(40, download_bps=32))
    here = tiny().cost(edge=["in", "a", "b"], link=Link(40, download_bps=32))
    assert (there.return_s, here.return_s) == (1.0, 0.0)


def test_a_tensor_that_several_layers_read_is_sent_once() -> None:
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 100}]
    layers += [{"name": f"l{i}", "inputs": ["in"], "edge_s": 9, "cloud_s": 0, "output_bytes": 1} for i in range(5)]
    found = plan(Problem.from_json(json.dumps({"name": "fan", "layers": layers})), Link(80))
    assert found.latency_s == 10
    assert len(found.sent) == 1


def test_pins_and_what_may_not_leave() -> None:
    assert plan(tiny().with_pins(edge=["a"]), Link(40)).edge == ("in", "a", "b")
    assert plan(tiny().with_pins(cloud=["b"], edge=["a"]), Link(40)).latency_s == 10 + 5 + 4
    private = {**TINY, "layers": [{**TINY["layers"][0], "send": False}, *TINY["layers"][1:]]}  # type: ignore[dict-item]
    assert plan(Problem.from_json(json.dumps(private)), Link(40)).edge[:2] == ("in", "a")
    with pytest.raises(InfeasibleError, match=r"pins to the cloud \(a\) and the pins to the edge \(b\)"):
        plan(tiny().with_pins(cloud=["a"], edge=["b"]), Link(40))


def test_ten_thousand_layers_deep() -> None:
    names = ["in", *(f"l{i}" for i in range(10_000))]
    layers = [
        {
            "name": name,
            "inputs": [before] if before else [],
            "edge_s": 0.002,
            "cloud_s": 0.001,
            "output_bytes": 1000 - i / 20,
        }
        for i, (name, before) in enumerate(zip(names, [None, *names], strict=False))
    ]
    found: Plan = plan(Problem.from_json(json.dumps({"name": "deep", "layers": layers})), Link(8e3))
    assert found.edge == ("in",)
    assert found.latency_s == pytest.approx(0.002 + 1 + 10)
