"""Which rows no other row beats in every column.

The rows are visited by increasing sum of their scaled columns: a row can only be dominated by one that comes before it
(sums of floats are monotone), so each is compared with the survivors so far, the strongest first. At worst O(d s N) for
s survivors of N rows of d columns; most rows fall to the first few dozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

# Rows and rivals that are compared at once: the table of both fits the processor's cache.
_ROWS = 4096
_RIVALS = 64
_RANKED = 1024
_FEW = 256


def nondominated(columns: Sequence[Floats], group: Ints | None = None) -> Ints:
    """Numbers, in increasing order, of the rows to which no row of another group is at most equal in every column.

    Rows of one group never dominate each other; without groups, only equal rows are of one group.
    """
    count = len(columns[0])
    varying = [column for column in columns if count and column.min() != column.max()]
    if count < 2 or not varying:
        return np.arange(count)
    if count <= _FEW:
        return _of_few(varying, group)
    groups = equal_rows(varying) if group is None else group
    total = np.zeros(count)
    for column in varying:
        total += column / column.max()
    order = np.argsort(total, kind="stable")
    table = _compact([column[order] for column in varying])
    groups, total = groups[order].astype(np.int32), total[order]
    kept = np.zeros(0, dtype=np.intp)
    for start in range(0, count, _ROWS):
        rows = np.arange(start, min(start + _ROWS, count))
        for first in range(0, len(kept), _RIVALS):
            rows = rows[~_dominated(table, groups, rows, kept[first : first + _RIVALS])]
            if not len(rows):
                break
        kept = np.concatenate((kept, _among(table, groups, rows)))
    return np.sort(order[_without_ties(table, groups, kept, total)])


def equal_rows(columns: Sequence[Floats]) -> Ints:
    """A number for each row, the same for equal rows."""
    order = np.lexsort(tuple(columns))
    changes = np.zeros(len(order), dtype=np.bool_)
    for column in columns:
        changes[1:] |= np.diff(column[order]) != 0
    group = np.empty(len(order), dtype=np.intp)
    group[order] = np.cumsum(changes)
    return group


def _of_few(columns: Sequence[Floats], group: Ints | None) -> Ints:
    """All pairs at once."""
    beats = np.ones((len(columns[0]), len(columns[0])), dtype=np.bool_)
    for column in columns:
        beats &= column[:, None] <= column[None, :]
    beats &= ~beats.T if group is None else group[:, None] != group[None, :]
    return np.flatnonzero(~beats.any(axis=0))


def _compact(columns: Sequence[Floats]) -> Numbers:
    """Many rows are compared by rank: the smallest integers that hold the ranks are compared several times faster."""
    if len(columns[0]) < _RANKED:
        return np.array(columns)
    kind = np.uint16 if len(columns[0]) <= np.iinfo(np.uint16).max else np.uint32
    return np.array([np.unique(column, return_inverse=True)[1].astype(kind) for column in columns])


def _among(table: Numbers, groups: Numbers, rows: Ints) -> Ints:
    """Those of `rows` that none before it in the order dominates."""
    kept = [np.zeros(0, dtype=np.intp)]
    while len(rows):
        rivals, rows = rows[:_RIVALS], rows[_RIVALS:]
        rivals = rivals[~_dominated(table, groups, rivals, rivals)]
        kept.append(rivals)
        if len(rows):
            rows = rows[~_dominated(table, groups, rows, rivals)]
    return np.concatenate(kept)


def _without_ties(table: Numbers, groups: Numbers, kept: Ints, total: Floats) -> Ints:
    """A tiny difference vanishes in a sum: rows of equal sum may dominate one that comes before them."""
    same = np.flatnonzero(total[kept][1:] == total[kept][:-1])
    near = kept[np.unique(np.concatenate((same, same + 1)))]
    return np.setdiff1d(kept, near[_dominated(table, groups, near, near)])


def _dominated(table: Numbers, groups: Numbers, rows: Ints, rivals: Ints) -> Bools:
    beats = groups[rivals][:, None] != groups[rows][None, :]
    for column in table:
        np.logical_and(beats, column[rivals][:, None] <= column[rows][None, :], out=beats)
    return np.asarray(beats.any(axis=0))
