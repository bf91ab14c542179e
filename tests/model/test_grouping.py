"""Groups on random graphs: convex, acyclic, nothing hidden; and the rules on small ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.model.grouping import Operator, group


@st.composite
def operator_graphs(draw: st.DrawFn) -> list[Operator]:
    size = draw(st.integers(1, 14))
    operators = []
    for index in range(size):
        reads = tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=3)))) if index else ()
        joined = tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=1)))) if index else ()
        operators.append(
            Operator(
                reads=reads,
                size_bytes=draw(st.integers(0, 4)),
                follows=draw(st.booleans()),
                fixed=draw(st.integers(0, 5)) == 0,
                is_input=not reads,
                is_output=index == size - 1 or draw(st.integers(0, 6)) == 0,
                joined=joined if draw(st.integers(0, 3)) == 0 else (),
            )
        )
    return operators


def reachable(operators: list[Operator]) -> list[set[int]]:
    """Everything that each operator depends on."""
    before: list[set[int]] = []
    for operator in operators:
        before.append({*operator.reads, *(index for source in operator.reads for index in before[source])})
    return before


@settings(max_examples=400, deadline=None)
@given(operator_graphs())
def test_groups_are_convex_acyclic_and_in_topological_order(operators: list[Operator]) -> None:
    groups = group(operators)
    before = reachable(operators)
    for index, operator in enumerate(operators):
        for source in operator.reads:
            # Numbered in topological order: so the graph of groups has no cycle, and every group is convex.
            assert groups[source] <= groups[index]
    for late, sources in enumerate(before):
        for early in sources:
            if groups[early] == groups[late]:
                between = [i for i in range(len(operators)) if early in before[i] and i in sources]
                assert all(groups[i] == groups[late] for i in between)
    assert sorted(set(groups)) == list(range(len(set(groups))))


@settings(max_examples=200, deadline=None)
@given(operator_graphs())
def test_what_may_not_be_cut_is_in_one_group_and_inputs_stay_alone(operators: list[Operator]) -> None:
    groups = group(operators)
    for index, operator in enumerate(operators):
        for other in operator.joined:
            assert groups[index] == groups[other]
    plain = [replace(operator, joined=(), fixed=False) for operator in operators]
    groups = group(plain)
    for index, operator in enumerate(plain):
        if operator.is_input:
            assert groups.count(groups[index]) == 1


def test_cheap_followers_join_what_they_alone_read() -> None:
    conv, relu, pool = Operator((0,), 8), Operator((1,), 8, follows=True), Operator((2,), 2)
    assert group([Operator((), 4, is_input=True), conv, relu, replace(pool, is_output=True)]) == [0, 1, 1, 2]


def test_a_follower_that_makes_its_input_larger_stays_apart() -> None:
    conv, expand = Operator((0,), 2), Operator((1,), 8, follows=True)
    last = Operator((2,), 1, is_output=True)
    # It leads its reader instead: cutting before it is never worse than behind it.
    assert group([Operator((), 4, is_input=True), conv, expand, last]) == [0, 1, 2, 2]


def test_a_tensor_that_two_layers_read_stays_visible() -> None:
    graph = [
        Operator((), 4, is_input=True),
        Operator((0,), 8),
        Operator((1,), 8, follows=True),
        Operator((1,), 8),
        Operator((2, 3), 8, is_output=True),
    ]
    assert group(graph)[1] != group(graph)[2]


def test_a_fixed_group_takes_what_lies_between_its_members() -> None:
    graph = [
        Operator((), 4, is_input=True),
        Operator((0,), 8, fixed=True),
        Operator((1,), 8),
        Operator((2,), 8, fixed=True, joined=(1,), is_output=True),
    ]
    assert group(graph) == [0, 1, 1, 1]
