"""Builds the frontier: all partitions with all codecs, without those that another beats on any link and load.

A row is dropped when another is at most equal in every column and less in edge seconds, bytes or cloud seconds: no
objective that grows with its columns prefers it. Rows equal in those three are kept apart by the tie rule (fewer edge
layers, then name order), since an objective may not see the columns in which they differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnn_surgery.planning.bundles import Bundle, Bundles
from dnn_surgery.planning.cuts import Cuts, Order, TooManyCutsError, all_cuts, member
from dnn_surgery.planning.pareto import equal_rows, nondominated
from dnn_surgery.planning.structure import Floats, Ints, Structure

# Partitions whose tensors are added up at once, which bounds the memory that takes.
_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of the frontier: six columns [6, rows] in the order of `Columns`, the partition and what it sends.

    `edge_bits` [rows, bytes] are packed masks over the layers; row r sends with the codecs
    `ways[start[r]:start[r + 1]]`.
    """

    columns: Floats
    edge_bits: npt.NDArray[np.uint8]
    start: Ints
    ways: Ints
    cuts: int
    combinations: int


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one segment: which of its sets, which combination of codecs of the set's bundle.

    Without bundles every tensor has one codec only.
    """

    cuts: Cuts
    columns: Floats
    which: Ints
    bundles: tuple[Bundle, ...]
    bundle: Ints
    choice: Ints

    def take(self, rows: Ints) -> _Rows:
        """Only these rows."""
        parts = (self.which[rows], self.bundles, self.bundle[rows], self.choice[rows])
        return _Rows(self.cuts, self.columns[:, rows], *parts)

    def masks(self, order: Order) -> npt.NDArray[np.bool_]:
        """Edge masks [rows, layers]."""
        masks = np.zeros((len(self.which), len(order.layers)), dtype=np.bool_)
        masks[:, order.layers[: self.cuts.first]] = True
        for element in range(self.cuts.size):
            masks[:, order.layers[self.cuts.first + element]] = member(self.cuts.bits, element)[self.which]
        return masks

    def sent(self, structure: Structure) -> list[Ints]:
        """The codecs that each row sends with."""
        if self.bundles:
            pairs = zip(self.bundle.tolist(), self.choice.tolist(), strict=True)
            return [self.bundles[bundle].ways[choice] for bundle, choice in pairs]
        ways = structure.ways.start[self.cuts.tensors]
        return [ways[self.cuts.crossing[:, which]] for which in self.which]


def build(structure: Structure, cap: int) -> Table | None:
    """The table, or None when more than `cap` rows are left after filtering the codecs of each partition."""
    bundles = Bundles(structure)
    parts: list[_Rows] = []
    order = Order.of(structure)
    cuts_seen = rows_seen = 0
    try:
        for cuts in all_cuts(structure, cap):
            rows = _expand(structure, order, bundles, cuts, cap - rows_seen)
            cuts_seen += len(cuts)
            rows_seen += len(rows.which)
            if rows_seen > cap:
                return None
            parts.append(rows if len(rows.which) == 1 else rows.take(_filter(structure, order, [rows])))
    except TooManyCutsError:
        return None
    kept = _filter(structure, order, parts)
    sizes = np.cumsum([0, *(len(rows.which) for rows in parts)])
    parts = [rows.take(kept[(kept >= a) & (kept < b)] - a) for rows, a, b in zip(parts, sizes, sizes[1:], strict=False)]
    sent = [ways for rows in parts for ways in rows.sent(structure)]
    return Table(
        columns=np.concatenate([rows.columns for rows in parts], axis=1),
        edge_bits=np.concatenate([np.packbits(rows.masks(order), axis=1) for rows in parts]),
        start=np.cumsum([0, *(len(ways) for ways in sent)]),
        ways=np.concatenate([*sent, np.zeros(0, dtype=np.intp)]).astype(np.intp),
        cuts=cuts_seen,
        combinations=rows_seen,
    )


def _expand(structure: Structure, order: Order, bundles: Bundles, cuts: Cuts, cap: int) -> _Rows:
    """Every set of a segment with every combination of codecs that is not dominated for that set."""
    if len(structure.ways.codecs) == len(structure.tensors) and not structure.forbidden:
        return _expand_plain(structure, cuts)
    patterns, bundle = _patterns(cuts)
    known = []
    total = 0
    for pattern, users in zip(patterns, np.bincount(bundle), strict=True):
        known.append(bundles.of(tuple(pattern)))
        # Checked as they come: the next bundle may take longer than all before it.
        total += len(known[-1]) * int(users)
        if total > cap:
            raise TooManyCutsError
    for key, bans in structure.forbidden.items():
        found = cuts.find(np.frombuffer(key, dtype=np.bool_)[order.layers])
        if found is not None:
            known.append(bundles.without(tuple(patterns[bundle[found]]), bans))
            bundle[found] = len(known) - 1
    sizes = np.array([len(item) for item in known], dtype=np.intp)
    repeats = sizes[bundle]
    total = int(repeats.sum())
    which = np.repeat(np.arange(len(cuts)), repeats)
    choice = np.arange(total) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    place = (np.cumsum(sizes) - sizes)[bundle][which] + choice
    encode_s, size_bytes, decode_s = (
        np.concatenate([getattr(item, name) for item in known])[place] if known else np.zeros(0)
        for name in ("encode_s", "size_bytes", "decode_s")
    )
    columns = _columns(cuts, which, encode_s, size_bytes, decode_s)
    return _Rows(cuts, columns, which, tuple(known), bundle[which], choice)


def _expand_plain(structure: Structure, cuts: Cuts) -> _Rows:
    """The same where every tensor has a single codec."""
    ways = structure.ways
    added = np.array([ways.encode_s, ways.size_bytes, ways.decode_s])[:, cuts.tensors]
    sums = np.zeros((3, len(cuts)))
    for start in range(0, len(cuts), _BLOCK):
        sums[:, start : start + _BLOCK] = added @ cuts.crossing[:, start : start + _BLOCK]
    which = np.arange(len(cuts))
    nothing = np.zeros(len(cuts), dtype=np.intp)
    return _Rows(cuts, _columns(cuts, which, *sums), which, (), nothing, nothing)


def _columns(cuts: Cuts, which: Ints, encode_s: Floats, size_bytes: Floats, decode_s: Floats) -> Floats:
    sent: Floats = np.asarray(cuts.crossing.any(axis=0), dtype=np.float64)
    return np.array(
        [
            cuts.edge_s[which] + encode_s,
            size_bytes,
            cuts.cloud_s[which] + decode_s,
            sent[which],
            cuts.param_bytes[which],
            cuts.down_bytes[which],
        ]
    )


def _patterns(cuts: Cuts) -> tuple[list[list[int]], Ints]:
    """The different sets of crossing tensors, and which of them each partition has."""
    if len(cuts) == 1:
        return [cuts.tensors[cuts.crossing[:, 0]].tolist()], np.zeros(1, dtype=np.intp)
    packed = np.packbits(cuts.crossing, axis=0)
    _, first, number = np.unique(packed, axis=1, return_index=True, return_inverse=True)
    return [cuts.tensors[cuts.crossing[:, row]].tolist() for row in first], number.reshape(-1)


def _filter(structure: Structure, order: Order, parts: list[_Rows]) -> Ints:
    """Numbers of the rows, counted through all parts, that belong to the frontier."""
    columns = np.concatenate([rows.columns for rows in parts], axis=1)
    groups = equal_rows([columns[0], columns[1], columns[2]])
    alike = np.flatnonzero(np.bincount(groups)[groups] > 1) if len(groups) else groups
    kept = np.ones(len(groups), dtype=np.bool_)
    if len(alike):
        rank = _tie_rank(structure, order, parts, alike, groups[alike])
        seen = [*columns[3:, alike], rank]
        same = groups[alike].astype(np.float64)
        # Both a group's number and its negative among the columns: rows compare within their own group only.
        survivors = nondominated([same, same.max() - same, *seen], np.arange(len(alike)))
        kept[alike] = False
        kept[alike[survivors]] = True
    left = np.flatnonzero(kept)
    return left[nondominated(list(columns[:, left]), groups[left])]


def _tie_rank(structure: Structure, order: Order, parts: list[_Rows], rows: Ints, groups: Ints) -> Floats:
    """The place of each of `rows` within its group by fewer edge layers, then by the sorted names of those."""
    ends = np.cumsum([len(part.which) for part in parts])
    by_name = np.argsort(np.array(structure.names))
    masks = np.concatenate(
        [
            part.take(rows[(rows >= end - len(part.which)) & (rows < end)] - (end - len(part.which))).masks(order)
            for part, end in zip(parts, ends, strict=True)
        ]
    )
    # Of two sets of one size the one that holds the first name in which they differ has the smaller sorted list.
    names = 255 - np.packbits(masks[:, by_name], axis=1)
    sequence = np.lexsort((*names.T[::-1], masks.sum(axis=1), groups))
    rank = np.empty(len(rows))
    rank[sequence] = np.arange(len(rows))
    first = np.full(int(groups.max()) + 1, np.inf)
    np.minimum.at(first, groups, rank)
    return np.asarray(rank - first[groups])
