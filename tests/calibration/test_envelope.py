"""Wherever the link goes, what the guarded frontier chooses loses nothing or is proved; and it is the best of that."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.envelope import Envelope, GuardedFrontier, guarded_frontier, leading, lossless
from dnn_surgery.calibration.guard import loses_nothing, same_way
from dnn_surgery.errors import InputError
from dnn_surgery.planning import CodecCost, Goal, Link, Plan, Problem, frontier
from dnn_surgery.planning.frontier_rows import with_plans
from tests.calibration.test_guard import PROBLEM

ENVELOPE = Envelope(slowest_bps=1e3, fastest_bps=1e6)
LINKS = [
    (Link(bandwidth_bps=bps, rtt_s=rtt_s), edge_load)
    for bps, rtt_s, edge_load in itertools.product([1e3 * 1.3**n for n in range(27)], [0.0, 0.05, 0.3], [1.0, 2.0, 4.0])
]


def chain(seed: int) -> Problem:
    """Ten layers whose tensors travel raw, compressed or with fewer bits, at random costs."""
    draw = random.Random(seed)
    names = ["in", *(f"l{n}" for n in range(10))]
    layers = ",".join(
        f'{{"name": "{name}", "inputs": [{chr(34) + before + chr(34) if before else ""}], "edge_s": {draw.random()}, '
        f'"cloud_s": {draw.random() / 8}, "output_bytes": {draw.randint(1000, 90_000)}}}'
        for before, name in zip(["", *names], names, strict=False)
    )
    problem = Problem.from_json(f'{{"name": "chain", "outputs": ["l9"], "layers": [{layers}]}}')
    ways = {}
    for layer in problem.layers[:-1]:
        size_bytes = layer.outputs[0].size_bytes
        ways[layer.name] = [
            CodecCost("raw", size_bytes),
            CodecCost("zstd", size_bytes * 0.8, draw.random() / 50, draw.random() / 50),
            CodecCost("int8", size_bytes / 4, draw.random() / 50, draw.random() / 50),
            CodecCost("int4", size_bytes / 8, draw.random() / 50, draw.random() / 50),
        ]
    return problem.with_codecs(ways)


def judge(seed: int) -> Callable[[Plan], Agreement]:
    """Some plans pass and some do not, always the same."""

    def verify(plan: Plan) -> Agreement:
        passes = random.Random(f"{seed} {len(plan.edge)} {plan.sent[0].codec}").random() < 0.5
        return Agreement(400 if passes else 300, 400)

    return verify


def guarded(seed: int, **options: object) -> tuple[Problem, GuardedFrontier]:
    problem = chain(seed)
    return problem, guarded_frontier(problem, judge(seed), accuracy=0.99, envelope=ENVELOPE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_every_choice_is_proved_and_the_best_of_all_that_pass(seed: int) -> None:
    problem, found = guarded(seed)
    assert found.complete
    verify = judge(seed)
    # All that pass, by trying every partition with every codec.
    allowed = with_plans(
        frontier(lossless(problem)), problem, [plan for plan in lossy(problem) if passes(verify, plan)]
    )
    for (link, edge_load), objective in itertools.product(LINKS, ("latency", "throughput")):
        plan = found.frontier.best(link, edge_load, objective=objective)  # type: ignore[arg-type]
        assert loses_nothing(plan) or any(same_way(plan, one.plan) for one in found.verified)
        assert loses_nothing(plan) or passes(verify, plan)
        best = allowed.best(link, edge_load, objective=objective)  # type: ignore[arg-type]
        value = "latency_s" if objective == "latency" else "bottleneck_s"
        # Loads between those of the envelope may have a better plan that was never looked at; these are in it.
        assert getattr(plan, value) == pytest.approx(getattr(best, value))
    assert {len(found.failed) > 0, len(found.verified) > 0} == {True}


def passes(verify: Callable[[Plan], Agreement], plan: Plan) -> bool:
    return verify(plan).bound >= 0.99


def lossy(problem: Problem) -> list[Plan]:
    names = [layer.name for layer in problem.layers]
    return [
        problem.cost(edge=names[:count], link=LINKS[0][0], codecs={names[count - 1]: codec})
        for count in range(1, len(names))
        for codec in ("int8", "int4")
    ]


def test_what_is_not_verified_in_time_is_not_chosen() -> None:
    _, whole = guarded(3)
    seen: list[tuple[int, int]] = []
    _, found = guarded(3, max_verifications=2, progress=lambda done, total: seen.append((done, total)))
    assert not found.complete
    assert len(found.verified) + len(found.failed) == 2 == len(seen)
    assert len(whole.verified) + len(whole.failed) > 2
    for link, edge_load in LINKS:
        plan = found.frontier.best(link, edge_load)
        assert loses_nothing(plan) or any(same_way(plan, one.plan) for one in found.verified)


def test_exact_verifies_nothing() -> None:
    def never(plan: Plan) -> Agreement:
        raise AssertionError("verified")

    found = guarded_frontier(PROBLEM, never, accuracy=None, envelope=ENVELOPE)
    assert found.complete
    assert not found.verified
    assert all(loses_nothing(found.frontier.best(link, load)) for link, load in LINKS)


def test_rows_that_are_added_cost_what_the_problem_says() -> None:
    problem = chain(1)
    plans = lossy(problem)
    table = with_plans(frontier(lossless(problem)), problem, plans)
    assert len(table) == len(frontier(lossless(problem))) + len(plans)
    link = Link(bandwidth_bps=1e5, rtt_s=0.02, download_bps=1e6)
    rows = {(plan.edge, plan.sent): plan for plan in table.leading(link, Goal(), len(table)) if not loses_nothing(plan)}
    for plan in plans:
        expected = problem.cost(edge=plan.edge, link=link, codecs={one.tensor: one.codec for one in plan.sent})
        row = rows[expected.edge, expected.sent]
        for field in ("edge_s", "transfer_s", "cloud_s", "return_s", "rtt_s", "latency_s"):
            assert getattr(row, field) == pytest.approx(getattr(expected, field))
    assert with_plans(table, problem, []) is table


def test_the_leading_plans_are_found_between_the_points_of_any_grid() -> None:
    problem = chain(5)
    table = frontier(problem)
    known = leading(table, Envelope(1e3, 1e6, rtts_s=(0.0,), edge_loads=(1.0,), cloud_loads=(1.0,)))
    for step in range(400):
        best = table.best(Link(bandwidth_bps=1e3 * 10 ** (3 * step / 400)))
        assert any(same_way(best, plan) for plan in known)


def test_what_is_no_envelope_and_no_way() -> None:
    with pytest.raises(InputError, match="is none"):
        Envelope(slowest_bps=2, fastest_bps=1)
    with pytest.raises(InputError, match="has no codec that loses nothing"):
        lossless(PROBLEM.with_codecs({"a": [CodecCost("int8", 10)]}))
