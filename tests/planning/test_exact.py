"""The frontier, and branch and bound without it, against brute force over all partitions and codecs."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning import CodecCost, Goal, Limits, Link, Plan, Power, Problem, plan
from dnn_surgery.planning.exact import bounded
from tests.planning.brute_force import Row, rows
from tests.planning.random_problems import random_problem

POWER = Power(compute_w=3, send_w=2)


class Question:
    """A random link, load, objective, rate and limits; knows the true answer from a list of all rows."""

    def __init__(self, dice: random.Random, known: list[Row]) -> None:
        bandwidth = dice.choice([1.0, 8.0, 40.0, 1e3, 1.1e6, 5.85e6, 1e9])
        download = dice.choice([None, 8.0, 1e6])
        self.link = Link(bandwidth, dice.choice([0.0, 0.04, 3.0]), download)
        self.loads = dice.choice([(1.0, 1.0), (3.0, 1.0), (1.0, 0.5), (0.25, 7.0)])
        self.known = known
        some = dice.choice(known)
        slack = dice.choice([0.9, 1.0, 1.0, 1.2])
        self.limits = Limits(
            edge_param_bytes=some.param_bytes * slack if dice.random() < 0.3 else None,
            deadline_s=self.latency_s(some) * slack if dice.random() < 0.3 else None,
            frame_bytes=some.up_bytes * slack if dice.random() < 0.3 else None,
        )
        period_s = self.bottleneck_s(dice.choice(known)) * dice.choice([0.5, 1.0, 1.0, 2.0])
        self.rate_hz = 1 / period_s if dice.random() < 0.5 and 1e-9 < period_s < 1e9 else None
        self.goal = Goal(
            dice.choice(["latency", "throughput", "energy"]), self.rate_hz, *self.loads, self.limits, POWER
        )

    def latency_s(self, row: Row) -> float:
        down = self.link.download_bps or math.inf
        edge_s, cloud_s = row.edge_s * self.loads[0], row.cloud_s * self.loads[1]
        trip = self.link.rtt_s if row.sent else 0.0
        return edge_s + row.up_bytes * 8 / self.link.bandwidth_bps + cloud_s + trip + row.down_bytes * 8 / down

    def bottleneck_s(self, row: Row) -> float:
        transfer_s = row.up_bytes * 8 / self.link.bandwidth_bps
        return max(row.edge_s * self.loads[0], transfer_s, row.cloud_s * self.loads[1])

    def energy_j(self, row: Row) -> float:
        return 3 * row.edge_s * self.loads[0] + 2 * row.up_bytes * 8 / self.link.bandwidth_bps

    def value(self, row: Row) -> float:
        values = {"latency": self.latency_s, "throughput": self.bottleneck_s, "energy": self.energy_j}
        return values[self.goal.objective](row)

    def keeps_limits(self, row: Row) -> bool:
        pairs = (
            (row.param_bytes, self.limits.edge_param_bytes),
            (self.latency_s(row), self.limits.deadline_s),
            (row.up_bytes, self.limits.frame_bytes),
        )
        return all(limit is None or value <= limit * (1 + 1e-12) for value, limit in pairs)

    def answer(self) -> tuple[str | None, float, float]:
        """The mode, the least value of the objective (of the bottleneck when congested), the least bottleneck."""
        allowed = [row for row in self.known if self.keeps_limits(row)]
        if not allowed:
            raise InfeasibleError
        least_s = min(map(self.bottleneck_s, allowed))
        if self.rate_hz is None:
            return None, min(map(self.value, allowed)), least_s
        period_s = (1 + 1e-12) / self.rate_hz
        if least_s > period_s:
            return "congested", least_s, least_s
        fastest_s = min(map(self.latency_s, allowed))
        fastest = min(self.bottleneck_s(r) for r in allowed if self.latency_s(r) <= fastest_s * (1 + 1e-12))
        mode = "light" if fastest <= period_s else "heavy"
        return mode, min(self.value(row) for row in allowed if self.bottleneck_s(row) <= period_s), least_s

    def value_of(self, found: Plan) -> float:
        return found.bottleneck_s if found.mode == "congested" else self.goal.value(found)


def close(value: float, expected: float) -> bool:
    return value == pytest.approx(expected, rel=1e-9, abs=1e-290)


def check_seed(seed: int, questions: int) -> None:
    document = random_problem(seed, forbidden=True)
    problem = Problem.from_json(json.dumps(document))
    known = list(rows(document))
    if not known:
        with pytest.raises(InfeasibleError):
            plan(problem, Link(1e6))
        with pytest.raises(InfeasibleError):
            bounded(problem, Link(1e6), Goal())
        return
    table = problem.frontier
    assert table is not None
    dice = random.Random(seed)
    for number in range(questions):
        question = Question(dice, known)
        try:
            mode, value, least_s = question.answer()
        except InfeasibleError:
            with pytest.raises(InfeasibleError, match="no partition keeps"):
                table.plan(question.link, question.goal)
            if number == 0:
                with pytest.raises(InfeasibleError, match="no partition"):
                    bounded(problem, question.link, question.goal)
            continue
        found = table.plan(question.link, question.goal)
        assert close(question.value_of(found), value)
        assert (found.mode, found.optimal, found.gap) == (mode, True, 0.0)
        assert close(found.max_rate_hz * least_s, 1) or least_s == 0
        check_honest(problem, question, found)
        if number == 0:
            check_bounded(problem, question, mode, value)


def check_honest(problem: Problem, question: Question, found: Plan) -> None:
    """The plan's costs are those of its partition and codecs."""
    codecs = {sent.tensor: sent.codec for sent in found.sent}
    again = problem.cost(
        edge=found.edge,
        link=question.link,
        codecs=codecs,
        edge_load=question.loads[0],
        cloud_load=question.loads[1],
    )
    for field in ("edge_s", "transfer_s", "cloud_s", "return_s", "rtt_s", "latency_s", "bottleneck_s"):
        assert close(getattr(found, field), getattr(again, field)), field
    assert (found.cloud, found.sent) == (again.cloud, again.sent)


def check_bounded(problem: Problem, question: Question, mode: str | None, value: float) -> None:
    """Branch and bound says a true gap, and no gap where no measured rows are in its way."""
    found = bounded(problem, question.link, question.goal)
    if not problem.measured:
        assert found.mode == mode
        assert close(question.value_of(found), value)
        assert found.optimal
    elif found.mode == mode:
        assert found.gap is not None
        assert question.value_of(found) >= value * (1 - 1e-9)
        assert question.value_of(found) * (1 - found.gap) <= value * (1 + 1e-9)


@settings(max_examples=700, deadline=None)
@given(st.integers(0, 2**32))
def test_the_best_plan_is_the_best_of_all(seed: int) -> None:
    check_seed(seed, 3)


@pytest.mark.slow
def test_five_thousand_more_graphs() -> None:
    for seed in range(5000):
        check_seed(seed, 4)


def tie_key(question: Question, row: Row) -> tuple[Any, ...]:
    """Objective, the other objective, bytes, edge layers, names: the order in which equal plans are chosen."""
    values = [question.value(row)]
    values.append(question.bottleneck_s(row) if question.goal.objective == "latency" else question.latency_s(row))
    codecs = tuple(codec for _, codec in row.sent)
    return (*values, row.up_bytes, len(row.edge), sorted(row.edge), codecs)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["latency", "throughput", "energy"]), st.booleans())
def test_ties_are_broken_as_said(seed: int, objective: Any, download: bool) -> None:
    document = random_problem(seed, exact=True, forbidden=True)
    known = list(rows(document))
    if not known:
        return
    question = Question(random.Random(seed), known)
    question.link, question.loads = Link(8.0, 0.0, 8.0 if download else None), (1.0, 1.0)
    question.goal = Goal(objective, power=POWER)
    found = Problem.from_json(json.dumps(document)).frontier
    assert found is not None
    best = min(known, key=lambda row: tie_key(question, row))
    chosen = found.plan(question.link, question.goal)
    assert set(chosen.edge) == best.edge
    assert tuple((sent.tensor, sent.codec) for sent in chosen.sent) == best.sent


def test_a_plan_that_failed_is_forbidden_and_the_next_best_comes_back(paper: Problem) -> None:
    two = [CodecCost("raw", 82944), CodecCost("int8", 20736, 0.001, 0.001), CodecCost("int4", 10368, 0.002, 0.002)]
    problem = paper.with_codecs({"max5": two})
    link = Link(4e6)
    seen = []
    for _ in range(4):
        found = plan(problem, link)
        assert found.optimal
        seen.append((found.edge[-1], found.sent[0].codec, found.latency_s))
        problem = problem.without(found)
    # The frontier of the problem with int4 holds no raw max5: it has to come back once the others are forbidden.
    assert [row[:2] for row in seen] == [("max5", "int4"), ("max5", "int8"), ("max5", "raw"), ("max4", "raw")]
    assert [row[2] for row in seen] == sorted(row[2] for row in seen)
    assert Problem.from_json(problem.to_json()) == problem
    assert problem.without(found) is problem
    with pytest.raises(InfeasibleError, match="the plan of dsl is forbidden"):
        plan(paper.without(plan(paper, link)), link, algorithm="dsl")


def test_an_algorithm_that_does_not_look_at_limits_is_checked(paper: Problem) -> None:
    with pytest.raises(InfeasibleError, match=r"the plan of edge-only breaks the deadline of 1 s: it needs 1.81 s"):
        plan(paper, Link(4e6), algorithm="edge-only", limits=Limits(deadline_s=1))
    with pytest.raises(InfeasibleError, match="the plan of cloud-only breaks the limit on the bytes of a frame"):
        plan(paper, Link(4e6), algorithm="cloud-only", limits=Limits(frame_bytes=1))
    assert plan(paper, Link(4e6), rate_hz=1, algorithm="edge-only").mode == "congested"
    assert plan(paper, Link(4e6), rate_hz=0.1, algorithm="edge-only").mode == "light"
