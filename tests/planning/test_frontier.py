"""The frontier's parts: filter, cap, file, leading rows; and goals."""

import contextlib
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError, InputError, ProblemError, SurgeryError, UnitError
from dnn_surgery.planning import (
    CodecCost,
    Frontier,
    Goal,
    Limits,
    Link,
    Power,
    Problem,
    bundles,
    frontier,
    parse_budget,
    plan,
)
from dnn_surgery.planning.pareto import nondominated
from tests.planning.brute_force import partitions
from tests.planning.random_problems import random_problem


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 4))
def test_the_filter_keeps_what_nothing_dominates(seed: int, rows: int, columns: int) -> None:
    draw = np.random.default_rng(seed)
    table = draw.integers(0, 6, (columns, rows)) * 10.0 ** draw.integers(-9, 9, (columns, 1))
    kept = nondominated(list(table))
    expected = [
        row
        for row in range(rows)
        if not ((table <= table[:, [row]]).all(axis=0) & (table < table[:, [row]]).any(axis=0)).any()
    ]
    assert kept.tolist() == expected


@pytest.mark.parametrize("rows", [257, 1500, 9000, 70_000])
def test_the_filter_on_many_rows(rows: int) -> None:
    draw = np.random.default_rng(rows)
    # Small integers: many equal rows, many ties in the sum, few survivors to compare all rows with.
    table = list(draw.integers(0, 30, (3, rows)).astype(np.float64))
    kept = nondominated(table)
    survivors = np.array([column[kept] for column in table])
    for row in draw.integers(0, rows, 200):
        place = np.array([[column[row]] for column in table])
        beaten = ((survivors <= place).all(axis=0) & (survivors < place).any(axis=0)).any()
        assert beaten == (row not in kept)
    few = [column[:2000] for column in table]
    assert nondominated(few, np.zeros(len(few[0]), dtype=np.intp)).tolist() == list(range(len(few[0])))


def test_differences_that_vanish_in_a_sum_still_dominate() -> None:
    # Adding 1e-17 to 1 changes nothing: both rows have the same sum, and the worse comes first.
    table = [np.array([1.0, 1.0]), np.array([2e-17, 1e-17]), np.array([1e17, 1e17 + 16])]
    assert nondominated(table[:2]).tolist() == [1]
    assert nondominated(table).tolist() == [0, 1]
    many = [np.concatenate((column, np.full(500, 2.0))) for column in (np.ones(2), np.array([2e-17, 1e-17]))]
    assert nondominated(many).tolist() == [1]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_all_partitions_are_looked_at(seed: int) -> None:
    document = random_problem(seed, rules=False, measured=False)
    assert frontier(Problem.from_json(json.dumps(document))).partitions == len(list(partitions(document)))


def wide(branches: int, depth: int = 1) -> Problem:
    """So many parallel branches that nobody can list the partitions."""
    layers = [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 100}]
    for b in range(branches):
        for d in range(depth):
            reads = [f"{b}.{d - 1}" if d else "in"]
            times = {"edge_s": 1 + (7 * b + d) % 5, "cloud_s": 0.1 * (1 + b % 3), "output_bytes": 1 + (3 * b + d) % 17}
            layers.append({"name": f"{b}.{d}", "inputs": reads, **times})
    reads = [f"{b}.{depth - 1}" for b in range(branches)]
    layers.append({"name": "end", "inputs": reads, "edge_s": 1, "cloud_s": 1, "output_bytes": 1})
    return Problem.from_json(json.dumps({"name": "wide", "layers": layers}))


@pytest.mark.parametrize(("branches", "depth"), [(30, 1), (12, 8)])
def test_above_the_cap_a_plan_still_has_its_proof(branches: int, depth: int) -> None:
    problem = wide(branches, depth)
    assert problem.frontier is None
    with pytest.raises(InfeasibleError, match="wide has more than 1000000 combinations"):
        frontier(problem)
    link = Link(100, 0.5)
    fastest = plan(problem, link)
    assert (fastest.optimal, fastest.algorithm) == (True, "exact")
    steadiest = plan(problem, link, "throughput")
    assert steadiest.gap is not None
    assert steadiest.bottleneck_s <= fastest.bottleneck_s
    assert steadiest.gap <= 0.02
    light = plan(problem, link, rate_hz=0.9 * fastest.throughput_hz)
    assert (light.mode, light.edge) == ("light", fastest.edge)
    congested = plan(problem, link, rate_hz=1.1 * steadiest.throughput_hz / (1 - steadiest.gap))
    assert congested.mode == "congested"
    assert congested.max_rate_hz == pytest.approx(steadiest.throughput_hz)
    with pytest.raises(InfeasibleError, match="no partition keeps the deadline of 1 ms: the least possible is"):
        plan(problem, link, limits=Limits(deadline_s=1e-3))


def test_too_many_choices_of_codecs_are_noticed_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MOST_WORK", 10**5)
    draw = random.Random(1)
    names = [layer.name for layer in wide(8).layers]
    ways = [[CodecCost(f"c{i}", draw.random(), draw.random(), draw.random()) for i in range(6)] for _ in names]
    problem = wide(8).with_codecs(dict(zip(names, ways, strict=True)))
    assert problem.frontier is None
    assert plan(problem, Link(100)).optimal


def test_a_small_cap_counts_combinations(paper: Problem) -> None:
    two = [CodecCost("raw", 100), CodecCost("fp16", 50, 1, 1)]
    problem = paper.with_codecs({layer.name: two for layer in paper.layers if layer.name != "output"})
    assert frontier(problem, cap=33).combinations == 33
    with pytest.raises(InfeasibleError, match="more than 32"):
        frontier(problem, cap=32)


def test_limits_are_named_when_they_cannot_be_kept(paper: Problem) -> None:
    link = Link(4e6)
    with pytest.raises(
        InfeasibleError, match="no partition keeps the deadline of 100 ms: the least possible is 770 ms"
    ):
        plan(paper, link, limits=Limits(deadline_s=0.1))
    assert plan(paper, link, limits=Limits(frame_bytes=0)).sent == ()
    with pytest.raises(InfeasibleError, match=r"bytes of a frame .* and the deadline"):
        plan(paper, link, limits=Limits(deadline_s=1, frame_bytes=0))
    private = paper.with_pins(cloud=["output"])
    with pytest.raises(InfeasibleError, match="bytes of a frame of 10 B: the least possible is"):
        plan(private, link, limits=Limits(frame_bytes=10))


def test_energy_weighs_computing_against_sending(paper: Problem) -> None:
    link = Link(4e6)
    thrifty = Power(compute_w=0, send_w=1)
    assert plan(paper, link, "energy", power=thrifty).sent == ()
    lazy = plan(paper, link, "energy", power=Power(compute_w=1, send_w=0))
    assert lazy.edge == ("input",)
    assert Power(2, 3).energy_j(lazy) == pytest.approx(2 * lazy.edge_s + 3 * lazy.transfer_s)
    with pytest.raises(InputError, match="energy needs the device's power"):
        plan(paper, link, "energy")
    for power in (-1, math.nan):
        with pytest.raises(InputError, match="the power of computing must be"):
            Power(power, 1)


@pytest.mark.parametrize(
    ("text", "rate_hz", "size_bytes"),
    [("100kB/frame", None, 1e5), ("2GB/month", 20, 2e9 / 30 / 86400 / 20), ("6MB / min", 10, 1e4), ("1kB/s", 2, 500)],
)
def test_budgets(text: str, rate_hz: float | None, size_bytes: float) -> None:
    assert parse_budget(text, rate_hz) == pytest.approx(size_bytes)


@pytest.mark.parametrize("text", ["2GB", "2GB/fortnight", "/month", "x/month", "-1GB/month", "2GB/month"])
def test_budgets_that_do_not_parse(text: str) -> None:
    with pytest.raises(UnitError):
        parse_budget(text, None if text == "2GB/month" else 20)


def test_the_leading_rows_come_best_first(paper: Problem) -> None:
    table = frontier(paper)
    leading = table.leading(Link(4e6), Goal(), 5)
    assert len(leading) == 5
    assert leading[0].edge == table.best(Link(4e6)).edge
    assert [found.latency_s for found in leading] == sorted(found.latency_s for found in leading)
    assert len(table.leading(Link(4e6), Goal(limits=Limits(frame_bytes=1e5)), 99)) < len(table)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_saved_and_loaded_is_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    problem = Problem.from_json(json.dumps(random_problem(seed)))
    if problem.structure.rules.conflict:
        return
    path = tmp_path_factory.mktemp("frontier") / "f.frontier"
    table = frontier(problem)
    table.save(path)
    again = Frontier.load(path)
    for link in (Link(8), Link(1e6, 0.5, 1e3)):
        for objective in ("latency", "throughput"):
            assert again.best(link, 2, 3, objective) == table.best(link, 2, 3, objective)


def test_a_frontier_file_that_is_none(tmp_path: Path, paper: Problem) -> None:
    with pytest.raises(ProblemError, match="cannot read frontier"):
        Frontier.load(tmp_path / "absent")
    with pytest.raises(ProblemError, match="cannot write frontier"):
        frontier(paper).save(tmp_path / "absent" / "f")
    good = tmp_path / "good"
    frontier(paper).save(good)
    content = good.read_bytes()
    bad = tmp_path / "bad"
    for cut in (0, 1, 10, 100, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:cut])
        with pytest.raises(ProblemError):
            Frontier.load(bad)
    with np.load(good) as file:
        arrays = {key: file[key] for key in file.files}
    for key, value in (
        ("columns", arrays["columns"][:, :-1]),
        ("columns", arrays["columns"] * np.nan),
        ("ways", arrays["ways"] + 1000),
        ("start", arrays["start"][::-1].copy()),
        ("edge_bits", arrays["edge_bits"][:, :1]),
        ("record", np.frombuffer(b"{}", dtype=np.uint8)),
        ("record", np.frombuffer(b"[", dtype=np.uint8)),
        ("columns", np.array(["a"])),
    ):
        with bad.open("wb") as out:
            np.savez(out, **{**arrays, key: value})
        with pytest.raises(ProblemError):
            Frontier.load(bad)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 255))
def test_a_damaged_file_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory, place: int, flip: int) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    frontier(Problem.from_json(json.dumps(random_problem(7)))).save(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    with contextlib.suppress(SurgeryError):
        Frontier.load(path)


@pytest.mark.parametrize("seed", range(30))
def test_the_rows_within_limits_are_a_frontier_of_their_own(seed: int) -> None:
    problem = Problem.from_json(json.dumps(random_problem(seed, rules=False)))
    rows = frontier(problem)
    middle = Limits(edge_param_bytes=float(np.median(rows.columns[4])), frame_bytes=float(np.median(rows.columns[1])))
    link = Link(1e6, 0.01)
    try:
        expected = rows.best(link, limits=middle)
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            rows.within(middle)
        return
    within = rows.within(middle)
    found = within.best(link)
    assert (found.edge, found.sent, found.latency_s) == (expected.edge, expected.sent, expected.latency_s)
    assert rows.within(Limits()) is rows
    with pytest.raises(InputError):
        rows.within(Limits(deadline_s=1.0))
