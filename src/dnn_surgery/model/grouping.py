"""Which operators form one layer. Pure: plain numbers in, a group for each operator out.

Operators are numbered in topological order. Three steps:

[1] What may not be cut apart is joined: an operator that makes a tuple and those that take its items, operators that
    a caller wants as one layer. An uncuttable edge u -> v gets its reverse; the strongly connected components of the
    graph with the reverses are then the smallest groups that are convex (no path leaves a group and comes back), and
    the graph of groups is acyclic, because that is what a condensation is.
[2] Cheap followers (relu, batch norm, reshape, add ...) join the group whose result they alone read. If group p is
    read by n alone, no path can leave p except through n, so joining both keeps the two properties.
    A follower that makes its input larger stays apart: joining would hide the smaller tensor from the planner.
[3] Cheap leaders (a reshape before an attention, batch norm before a convolution) join their only reader in the same
    way, where what they make is not smaller than what they read: cutting before them is then never worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: who it reads, whether it is cheap, and the bytes it makes.

    `reads` are numbers of operators; `joined` those it may not be cut from; `fixed` operators belong to a group that a
    caller asked for, so they never join another one; `is_output` marks what the model returns.
    """

    reads: tuple[int, ...]
    size_bytes: int
    follows: bool = False
    fixed: bool = False
    is_input: bool = False
    is_output: bool = False
    joined: tuple[int, ...] = ()


def group(operators: Sequence[Operator]) -> list[int]:
    """The group of each operator, groups numbered in topological order. O(operators + edges)."""
    groups = _renumber(operators, _components(operators))
    groups = _renumber(operators, _join_followers(operators, groups))
    return _renumber(operators, _join_leaders(operators, groups))


def _components(operators: Sequence[Operator]) -> list[int]:
    """Step [1]."""
    edges = [(source, index) for index, operator in enumerate(operators) for source in operator.reads]
    for index, operator in enumerate(operators):
        for other in operator.joined:
            edges += [(index, other), (other, index)]
    sources, targets = (np.array(side, dtype=np.int64) for side in (zip(*edges, strict=True) if edges else ([], [])))
    size = len(operators)
    matrix = coo_array((np.ones(len(edges), dtype=np.int8), (sources, targets)), shape=(size, size))
    _, labels = connected_components(matrix.tocsr(), directed=True, connection="strong")
    return [int(label) for label in labels]


class _Groups:
    """Groups in topological order, with who reads whom, while they are being joined."""

    def __init__(self, operators: Sequence[Operator], groups: Sequence[int]) -> None:
        self.operators, self.groups = operators, groups
        self.members: dict[int, set[int]] = {}
        for index, label in enumerate(groups):
            self.members.setdefault(label, set()).add(index)
        self.readers: dict[int, set[int]] = {label: set() for label in self.members}
        for index, operator in enumerate(operators):
            for source in operator.reads:
                if groups[source] != groups[index]:
                    self.readers[groups[source]].add(groups[index])
        self.parent = {label: label for label in self.members}

    def root(self, label: int) -> int:
        while self.parent[label] != label:
            label = self.parent[label]
        return label

    def is_cheap(self, label: int) -> bool:
        inside = (self.operators[index] for index in self.members[label])
        return all(operator.follows and not operator.fixed and not operator.is_input for operator in inside)

    def sources(self, label: int) -> set[int]:
        """Operators outside a group that it reads."""
        return {source for index in self.members[label] for source in self.operators[index].reads} - self.members[label]

    def made_bytes(self, label: int) -> int:
        """Bytes of all that a cheap group makes and does not use up itself."""
        inside = self.members[label]
        used = {source for index in inside for source in self.operators[index].reads}
        return sum(self.operators[index].size_bytes for index in inside - used)

    def bytes_of(self, indices: Iterable[int]) -> int:
        return sum(self.operators[index].size_bytes for index in indices)

    def returns(self, label: int) -> bool:
        """Whether a group makes a tensor that the model returns, or is one of its inputs."""
        return any(self.operators[index].is_output or self.operators[index].is_input for index in self.members[label])

    def joined(self) -> list[int]:
        return [self.root(label) for label in self.groups]


def _join_followers(operators: Sequence[Operator], groups: Sequence[int]) -> list[int]:
    """Step [2], in topological order, so that whole chains join."""
    state = _Groups(operators, groups)
    for label in sorted(state.members):
        if not state.is_cheap(label):
            continue
        read = state.sources(label)
        for source in sorted({state.root(groups[index]) for index in read}, reverse=True):
            hidden = [index for index in read if index in state.members[source]]
            alone = state.readers[source] == {label} and not state.returns(source)
            if alone and state.made_bytes(label) <= state.bytes_of(hidden):
                state.parent[label] = source
                state.members[source] |= state.members[label]
                state.readers[source] = state.readers[label]
                break
    return state.joined()


def _join_leaders(operators: Sequence[Operator], groups: Sequence[int]) -> list[int]:
    """Step [3], in reverse order for the same reason."""
    state = _Groups(operators, groups)
    for label in sorted(state.members, reverse=True):
        if not state.is_cheap(label) or state.returns(label):
            continue
        readers = {state.root(reader) for reader in state.readers[label]}
        if len(readers) == 1 and state.made_bytes(label) >= state.bytes_of(state.sources(label)):
            state.parent[label] = readers.pop()
    return state.joined()


def _renumber(operators: Sequence[Operator], groups: Sequence[int]) -> list[int]:
    """A depth-first topological order of the groups, by the smallest operator where there is a choice."""
    first: dict[int, int] = {}
    sources: dict[int, set[int]] = {label: set() for label in groups}
    for index, operator in enumerate(operators):
        first.setdefault(groups[index], index)
        sources[groups[index]].update(groups[source] for source in operator.reads if groups[source] != groups[index])
    number: dict[int, int] = {}
    for start in sorted(sources, key=first.__getitem__):
        stack = [start]
        while stack:
            label = stack[-1]
            waiting = sorted((s for s in sources[label] if s not in number), key=first.__getitem__, reverse=True)
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            number.setdefault(label, len(number))
    return [number[label] for label in groups]
