"""The registry, the baselines, and the plan as JSON."""

import json
import math
from dataclasses import fields, replace

import pytest

from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning import Goal, Limits, Link, Plan, Problem, algorithms, plan, register
from tests.planning.test_mincut import tiny

FIELDS = [
    *("edge", "cloud", "sent", "edge_s", "transfer_s", "cloud_s", "return_s", "rtt_s", "latency_s", "bottleneck_s"),
    *("throughput_hz", "objective", "algorithm", "mode", "max_rate_hz", "optimal", "gap"),
]


def first_half(problem: Problem, link: Link, goal: Goal) -> list[str]:
    """An algorithm of a user's own: the first half of the layers at the edge."""
    return [layer.name for layer in problem.layers[: len(problem.layers) // 2]]


def test_the_baselines(paper: Problem) -> None:
    everything = plan(paper, Link(18e6, 0.04), algorithm="edge-only")
    assert (everything.cloud, everything.sent, everything.transfer_s, everything.rtt_s) == ((), (), 0, 0)
    assert everything.latency_s == pytest.approx(1.811)
    upload = plan(paper, Link(18e6, 0.04), algorithm="cloud-only")
    assert upload.edge == ("input",)
    assert upload.latency_s == pytest.approx(0.608468 + 0.04)
    assert (upload.algorithm, upload.optimal, upload.gap) == ("cloud-only", False, None)


def test_a_baseline_that_the_rules_forbid() -> None:
    with pytest.raises(InfeasibleError, match="edge-only is not allowed: this partition breaks a pin: 'b' belongs"):
        plan(tiny().with_pins(cloud=["b"]), Link(8), algorithm="edge-only")


def test_json_has_exactly_the_contracts_fields(paper: Problem) -> None:
    found = plan(paper, Link(18e6, 0.04, 50e6))
    document = json.loads(found.to_json())
    assert next(iter(document)) == "schema"
    assert document.pop("schema") == "dnn-surgery/plan/1"
    assert list(document) == FIELDS == [field.name for field in fields(Plan)]
    assert document["sent"] == [{"tensor": "max3", "bytes": 331776, "codec": "raw"}]
    assert document["return_s"] > 0
    assert document["mode"] is None


def test_a_rate_without_limit_is_null_in_json() -> None:
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 5}]
    found = plan(Problem.from_json(json.dumps({"layers": layers})), Link(8))
    assert math.isinf(found.throughput_hz)
    assert json.loads(found.to_json())["throughput_hz"] is None


def test_an_algorithm_of_ones_own(paper: Problem) -> None:
    name = f"{__name__}:first_half"
    found = plan(paper, Link(18e6), algorithm=name)
    assert len(found.edge) == len(paper.layers) // 2
    assert found.algorithm == name
    register("first-half", first_half)
    assert plan(paper, Link(18e6), algorithm="first-half").edge == found.edge
    assert "first-half" in algorithms.names()


def nonsense(problem: Problem, link: Link, goal: Goal) -> object:
    return {"edge": 3}.get("edge") if goal.rate_hz is None else ["in", 3]


def test_an_algorithm_that_returns_nonsense() -> None:
    for rate_hz in (None, 1.0):
        with pytest.raises(InputError, match="must return a Plan or names of layers"):
            plan(tiny(), Link(8), rate_hz=rate_hz, algorithm=f"{__name__}:nonsense")


def test_names_that_are_no_algorithm() -> None:
    with pytest.raises(InputError, match=r"unknown algorithm 'exat'.*did you mean 'exact'"):
        plan(tiny(), Link(8), algorithm="exat")
    for name in ("no_such_module:f", "json:no_such_function", "json:__doc__", ":f"):
        with pytest.raises(InputError, match="cannot load the algorithm"):
            plan(tiny(), Link(8), algorithm=name)
    for name in ("exact", "", "a:b"):
        with pytest.raises(InputError):
            register(name, first_half)


def idle() -> Problem:
    """Layers a and b cost nothing anywhere and pass one byte on: many cuts are equal."""
    names = ["in", "z", "a", "b"]
    layers = [
        {"name": name, "inputs": [before] if before else [], "edge_s": 0, "cloud_s": 0, "output_bytes": 1}
        for name, before in zip(names, [None, *names], strict=False)
    ]
    layers.append({"name": "end", "inputs": ["b"], "edge_s": 9, "cloud_s": 0, "output_bytes": 1})
    return Problem.from_json(json.dumps({"layers": layers}))


@pytest.mark.parametrize("algorithm", ["exact", "dsl", "neurosurgeon"])
def test_of_equal_plans_the_one_with_fewer_edge_layers_is_taken(algorithm: str) -> None:
    assert plan(idle(), Link(8), algorithm=algorithm).edge == ("in",)


def test_of_equal_plans_of_one_size_the_first_name_is_taken() -> None:
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 2}]
    layers += [{"name": name, "inputs": ["in"], "edge_s": 1, "cloud_s": 9, "output_bytes": 1} for name in ("z", "a")]
    layers.append({"name": "end", "inputs": ["z", "a"], "edge_s": 9, "cloud_s": 0, "output_bytes": 1})
    problem = Problem.from_json(json.dumps({"layers": layers})).with_pins(cloud=["end"])
    limit = Limits(edge_param_bytes=1)
    heavy = Problem(
        problem.name,
        tuple(replace(layer, param_bytes=1.0 * bool(layer.inputs)) for layer in problem.layers),
        problem.outputs,
    )
    assert plan(heavy, Link(8), limits=limit).edge == ("in", "a")


def test_goals_that_make_no_sense() -> None:
    with pytest.raises(InputError, match=r"unknown objective 'latencies'.*did you mean 'latency'"):
        plan(tiny(), Link(8), "latencies")  # type: ignore[arg-type]
    for rate in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="the rate must be"):
            plan(tiny(), Link(8), rate_hz=rate)
    with pytest.raises(InputError, match="the edge's load"):
        plan(tiny(), Link(8), edge_load=0)
