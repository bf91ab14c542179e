"""k tiers against brute force over all assignments of layers to tiers."""

import itertools
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning import Link, Problem, frontier, plan, plan_tiers
from tests.planning.brute_force import tensors_of
from tests.planning.random_problems import random_problem, seconds


def tiered(seed: int, tiers: int, layers: int) -> tuple[dict[str, Any], list[Link]]:
    document = random_problem(seed, layers=layers, measured=False)
    dice = random.Random(seed)
    for layer in document["layers"]:
        layer["tier_s"] = [layer.pop("edge_s"), *(seconds(dice) for _ in range(tiers - 2)), layer.pop("cloud_s")]
    links = [
        Link(dice.choice([1.0, 8.0, 1e3, 1e6]), dice.choice([0.0, 0.5]), dice.choice([None, 8.0]))
        for _ in range(tiers - 1)
    ]
    return document, links


def latencies(document: dict[str, Any], links: list[Link]) -> list[float]:
    """The latency of every admissible assignment."""
    layers = document["layers"]
    last = len(links)
    choices = [
        [0] if not layer["inputs"] or layer.get("pin") == "edge" else [last] if "pin" in layer else range(last + 1)
        for layer in layers
    ]
    known = []
    for assignment in itertools.product(*choices):
        cost = latency(document, links, dict(zip([layer["name"] for layer in layers], assignment, strict=True)))
        if cost is not None:
            known.append(cost)
    return known


def latency(document: dict[str, Any], links: list[Link], tier: dict[str, int]) -> float | None:
    layers = document["layers"]
    maker = {t["name"]: layer["name"] for layer in layers for t in tensors_of(layer)}
    if any(tier[maker[name]] > tier[layer["name"]] for layer in layers for name in layer["inputs"]):
        return None
    total = sum(layer["tier_s"][tier[layer["name"]]] for layer in layers)
    for level, link in enumerate(links):
        anything = False
        for layer in layers:
            above = tier[layer["name"]] > level
            for tensor in tensors_of(layer):
                readers = [other["name"] for other in layers if tensor["name"] in other["inputs"]]
                if not above and any(tier[name] > level for name in readers):
                    if level == 0 and not tensor.get("send", True):
                        return None
                    anything = True
                    ways = tensor.get("codecs") or [{"bytes": tensor["bytes"]}]
                    total += min(
                        way.get("encode_s", 0) + way["bytes"] * 8 / link.bandwidth_bps + way.get("decode_s", 0)
                        for way in ways
                    )
                if above and tensor["name"] in document["outputs"]:
                    total += tensor["bytes"] * 8 / (link.download_bps or math.inf)
        total += link.rtt_s if anything else 0.0
    return float(total)


def check(seed: int, tiers: int, layers: int) -> None:
    document, links = tiered(seed, tiers, layers)
    problem = Problem.from_json(json.dumps(document))
    known = latencies(document, links)
    if not known:
        with pytest.raises(InfeasibleError):
            plan_tiers(problem, links)
        return
    found = plan_tiers(problem, links)
    assert found.latency_s == pytest.approx(min(known), rel=1e-9, abs=1e-290)
    assert found.optimal
    tier = {name: level for level, names in enumerate(found.tiers) for name in names}
    assert latency(document, links, tier) == pytest.approx(found.latency_s, rel=1e-9, abs=1e-290)
    assert json.loads(found.to_json())["tiers"] == [list(names) for names in found.tiers]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_three_tiers(seed: int) -> None:
    check(seed, tiers=3, layers=6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_four_tiers(seed: int) -> None:
    check(seed, tiers=4, layers=5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_two_tiers_are_the_usual_plan(seed: int) -> None:
    document = random_problem(seed, measured=False)
    problem = Problem.from_json(json.dumps(document))
    link = Link(1e3, 0.5, 1e4)
    try:
        expected = plan(problem, link).latency_s
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            plan_tiers(problem, [link])
        return
    assert plan_tiers(problem, [link]).latency_s == pytest.approx(expected, rel=1e-9, abs=1e-290)


def test_two_tier_algorithms_refuse_more_tiers() -> None:
    problem = Problem.from_json(json.dumps(tiered(1, 3, 4)[0]))
    for refused in (lambda: plan(problem, Link(1)), lambda: frontier(problem)):
        with pytest.raises(InputError, match="has 3 tiers"):
            refused()


def test_as_many_links_as_there_are_gaps(paper: Problem) -> None:
    with pytest.raises(InputError, match="has 2 tiers, so it needs 1 link, got 2"):
        plan_tiers(paper, [Link(1), Link(1)])
