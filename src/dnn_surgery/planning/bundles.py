"""How a set of boundary tensors may travel together: all combinations of their codecs that no other beats.

A bundle's columns are seconds of encoding, bytes, seconds of decoding. Bundles are built tensor by tensor, dropping
what is dominated after each (sums keep dominance), and shared between sets that begin alike.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from dnn_surgery.planning.cuts import TooManyCutsError
from dnn_surgery.planning.pareto import equal_rows, nondominated
from dnn_surgery.planning.structure import Floats, Ints, Structure


@dataclass(frozen=True, eq=False)
class Bundle:
    """Combinations of codecs for some tensors: columns [combinations], `ways` [combinations, tensors]."""

    encode_s: Floats
    size_bytes: Floats
    decode_s: Floats
    ways: Ints

    def __len__(self) -> int:
        return len(self.encode_s)


MOST_WORK = 3 * 10**8
"""Comparing the combinations of all bundles pairwise may take this many comparisons: some seconds."""

_COLUMNS = ("encode_s", "size_bytes", "decode_s")
_NONE = np.zeros(0)
_EMPTY = Bundle(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, 0), dtype=np.intp))


class Bundles:
    """Bundles of one problem, remembered."""

    def __init__(self, structure: Structure) -> None:
        self._ways = structure.ways
        self._names = np.array([codec.name for codec in structure.ways.codecs], dtype=object)
        self._known: dict[tuple[int, ...], Bundle] = {(): _EMPTY}
        self._work = 0

    def of(self, tensors: tuple[int, ...]) -> Bundle:
        """The bundle of these tensors (numbers in increasing order).

        Raises:
            TooManyCutsError: this and all bundles before took more work than a frontier is worth.
        """
        length = len(tensors)
        while tensors[:length] not in self._known:
            length -= 1
        for end in range(length, len(tensors)):
            bundle = self._extended(self._known[tensors[:end]], tensors[end])
            self._known[tensors[: end + 1]] = bundle
            self._work += len(bundle) ** 2
            if self._work > MOST_WORK:
                raise TooManyCutsError
        return self._known[tensors]

    def without(self, tensors: tuple[int, ...], banned: Collection[tuple[int, ...]]) -> Bundle:
        """The bundle of these tensors without some choices of codecs.

        What a ban dominated must come back, so bans go first: all choices but one are, for each tensor, those that
        agree with it on the tensors before and differ on this one. Each of these boxes is a product that can be pruned.
        """
        start = self._ways.start
        boxes = [tuple(tuple(range(start[t], start[t + 1])) for t in tensors)]
        for ban in banned:
            boxes = [smaller for box in boxes for smaller in _around(box, ban)]
        parts = []
        for box in boxes:
            bundle = _EMPTY
            for ways in box:
                bundle = self._combined(bundle, np.array(ways, dtype=np.intp))
            parts.append(bundle)
        columns = [np.concatenate([*(getattr(p, name) for p in parts), _NONE]) for name in _COLUMNS]
        chosen = np.concatenate([*(part.ways for part in parts), np.zeros((0, len(tensors)), dtype=np.intp)])
        kept = self._first_of_equal((columns[0], columns[1], columns[2]), chosen)
        return Bundle(columns[0][kept], columns[1][kept], columns[2][kept], chosen[kept])

    def _extended(self, bundle: Bundle, tensor: int) -> Bundle:
        return self._combined(bundle, np.arange(self._ways.start[tensor], self._ways.start[tensor + 1]))

    def _combined(self, bundle: Bundle, ways: Ints) -> Bundle:
        codecs = self._ways
        old, new = np.repeat(np.arange(len(bundle)), len(ways)), np.tile(ways, len(bundle))
        columns = (
            bundle.encode_s[old] + codecs.encode_s[new],
            bundle.size_bytes[old] + codecs.size_bytes[new],
            bundle.decode_s[old] + codecs.decode_s[new],
        )
        chosen = np.column_stack((bundle.ways[old], new))
        kept = np.arange(len(old)) if len(ways) == 1 else self._first_of_equal(columns, chosen)
        return Bundle(columns[0][kept], columns[1][kept], columns[2][kept], chosen[kept])

    def _first_of_equal(self, columns: tuple[Floats, Floats, Floats], chosen: Ints) -> Ints:
        """The nondominated rows; of equal ones the first in the order of the codecs' names."""
        kept = nondominated(columns)
        groups = equal_rows([column[kept] for column in columns])
        if not len(groups) or groups.max() + 1 == len(kept):
            return kept
        best: dict[int, int] = {}
        for row, group in zip(kept.tolist(), groups.tolist(), strict=True):
            rival = best.setdefault(group, row)
            if tuple(self._names[chosen[row]]) < tuple(self._names[chosen[rival]]):
                best[group] = row
        return np.sort(np.array(list(best.values()), dtype=np.intp))


_Box = tuple[tuple[int, ...], ...]


def _around(box: _Box, ban: tuple[int, ...]) -> list[_Box]:
    """Boxes that together hold every choice of `box` but `ban`, each once."""
    if any(way not in ways for way, ways in zip(ban, box, strict=True)):
        return [box]
    rest = [tuple(way for way in ways if way != banned) for ways, banned in zip(box, ban, strict=True)]
    return [(*((way,) for way in ban[:i]), rest[i], *box[i + 1 :]) for i in range(len(box)) if rest[i]]
