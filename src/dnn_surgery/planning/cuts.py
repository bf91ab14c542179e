"""All partitions of a problem: the down-closed sets of its layers, few in real networks.

Layers are put in the order forced to the edge, free, forced to the cloud. A free layer at position i is a bottleneck
vertex (comparable with all other free layers) exactly when every free layer before it has a successor at i or before,
and every one after it a predecessor at i or after: following those, every path meets i. Between two bottleneck vertices
lies a segment; each partition is all layers before one segment and a down-closed set of that segment's layers, so the
sets of the segments add up rather than multiply.

Enumeration grows the list of sets layer by layer, in topological order: a layer may join the sets that hold its
predecessors. Each set is made once. O(sets * layers of the segment), all sets of one step at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dnn_surgery.planning.structure import Bools, Floats, Ints, Structure

Words = npt.NDArray[np.uint64]

_WORD = 64


class TooManyCutsError(Exception):
    """There are more rows than the table may have. Never leaves this room: planning goes on without the table."""


@dataclass(frozen=True, eq=False)
class Order:
    """Layers by position: forced to the edge, free (from `first_free`), forced to the cloud (from `first_cloud`)."""

    layers: Ints
    position: Ints
    first_free: int
    first_cloud: int

    @classmethod
    def of(cls, structure: Structure) -> Order:
        """The order of a problem; forced sets are down- and up-closed, so it is a topological one."""
        edge, cloud = structure.rules.edge, structure.rules.cloud
        layers = np.concatenate((np.flatnonzero(edge), np.flatnonzero(~edge & ~cloud), np.flatnonzero(cloud)))
        position = np.empty_like(layers)
        position[layers] = np.arange(len(layers))
        return cls(layers, position, int(edge.sum()), len(layers) - int(cloud.sum()))


@dataclass(frozen=True, eq=False)
class Cuts:
    """The partitions that hold all positions before `first`, and sets of the `size` positions from there on.

    `bits` [words, sets] are the sets; columns [sets] as in `Columns`, without codecs; `crossing` [tensors, sets] says
    which of `tensors` cross.
    """

    first: int
    size: int
    bits: Words
    edge_s: Floats
    cloud_s: Floats
    param_bytes: Floats
    down_bytes: Floats
    tensors: Ints
    crossing: Bools

    def __len__(self) -> int:
        return len(self.edge_s)

    def find(self, held: Bools) -> int | None:
        """The number of the set that is the partition `held` [positions]; None where it is of another segment."""
        gaps = np.flatnonzero(~held)
        prefix = int(gaps[0]) if len(gaps) else len(held)
        stop = self.first + self.size
        # Position `stop` is the next bottleneck vertex: sets that hold it belong to the next segment.
        if not self.first <= prefix <= stop or held[stop:].any():
            return None
        wanted = np.zeros(len(self.bits), dtype=np.uint64)
        for element in np.flatnonzero(held[self.first : stop]).tolist():
            wanted[element // _WORD] |= np.uint64(1 << (element % _WORD))
        found = np.flatnonzero((self.bits == wanted[:, None]).all(axis=0))
        return int(found[0]) if len(found) else None

    def keep(self, rows: Bools) -> Cuts:
        """Only these sets."""
        return replace(
            self,
            bits=self.bits[:, rows],
            edge_s=self.edge_s[rows],
            cloud_s=self.cloud_s[rows],
            param_bytes=self.param_bytes[rows],
            down_bytes=self.down_bytes[rows],
            crossing=self.crossing[:, rows],
        )


def bottlenecks(structure: Structure, order: Order) -> list[int]:
    """Positions of the free layers that are comparable with all other free layers."""
    start, stop = order.first_free, order.first_cloud
    nearest = np.full(stop, stop, dtype=np.intp)
    last = np.full(stop, start - 1, dtype=np.intp)
    for place in range(start, stop):
        layer = order.layers[place]
        nearest[place] = min((order.position[v] for v in structure.successors[layer]), default=stop)
        last[place] = max((order.position[v] for v in structure.predecessors[layer]), default=-1)
    reach = np.maximum.accumulate(np.concatenate(([start], nearest[start:stop])))
    lowest = np.minimum.accumulate(np.concatenate(([stop], last[start:stop][::-1])))[::-1]
    places = np.arange(start, stop)
    return [int(place) for place in places[(reach[:-1] <= places) & (lowest[1:] >= places)]]


def all_cuts(structure: Structure, cap: int) -> Iterator[Cuts]:
    """All admissible partitions, segment by segment.

    Raises:
        TooManyCutsError: a segment alone has more than `cap`.
    """
    order = Order.of(structure)
    borders = bottlenecks(structure, order)
    segments = zip([order.first_free, *(place + 1 for place in borders)], [*borders, order.first_cloud], strict=True)
    sweep = _Sweep(structure, order)
    for first, stop in segments:
        parents = [
            [int(p) - first for p in order.position[list(structure.predecessors[order.layers[place]])] if p >= first]
            for place in range(first, stop)
        ]
        bits = down_closed(parents, cap)
        yield sweep.cuts(first, stop, bits)


def down_closed(parents: Sequence[Sequence[int]], cap: int) -> Words:
    """The down-closed sets [words, sets] of elements in topological order with these predecessors."""
    if len(parents) and _widest_level(parents) >= cap.bit_length():
        raise TooManyCutsError
    sets = np.zeros((1, 1), dtype=np.uint64)
    for element, needed in enumerate(parents):
        if element // _WORD == len(sets):
            sets = np.concatenate((sets, np.zeros_like(sets[:1])))
        grows = sets
        for word in {p // _WORD for p in needed}:
            mask = np.uint64(sum(1 << (p % _WORD) for p in needed if p // _WORD == word))
            grows = grows[:, (grows[word] & mask) == mask]
        if sets.shape[1] + grows.shape[1] > cap:
            raise TooManyCutsError
        grown = grows.copy()
        grown[element // _WORD] |= np.uint64(1 << (element % _WORD))
        sets = np.concatenate((sets, grown), axis=1)
    return sets


def _widest_level(parents: Sequence[Sequence[int]]) -> int:
    """Elements of equal depth are incomparable: any subset of a level makes a down-closed set of its own."""
    depth: list[int] = []
    for needed in parents:
        depth.append(1 + max((depth[p] for p in needed), default=-1))
    return int(np.bincount(depth).max())


def member(bits: Words, element: int) -> Bools:
    """Which sets [sets] hold the element."""
    return np.asarray((bits[element // _WORD] >> np.uint64(element % _WORD)) & np.uint64(1) == 1)


class _Sweep:
    """Turns the sets of one segment after another into columns; segments must come in order."""

    def __init__(self, structure: Structure, order: Order) -> None:
        self._structure, self._order = structure, order
        layers = order.layers
        self._edge_s = np.concatenate(([0.0], np.cumsum(structure.edge_s[layers])))
        self._param = np.concatenate(([0.0], np.cumsum(structure.param_bytes[layers])))
        # Sums of what is left in the cloud run backwards: differences of prefix sums would not be exact.
        self._cloud_s = np.concatenate((np.cumsum(structure.cloud_s[layers][::-1])[::-1], [0.0]))
        self._down = np.concatenate((np.cumsum(structure.down_bytes[layers][::-1])[::-1], [0.0]))
        self._made = order.position[structure.producer]
        self._readers = [sorted(order.position[list(consumers)].tolist()) for consumers in structure.consumers]
        self._waiting = sorted(range(len(self._made)), key=lambda t: -int(self._made[t]))
        self._active: set[int] = set()

    def cuts(self, first: int, stop: int, bits: Words) -> Cuts:
        """The admissible partitions of the segment of positions `first` up to `stop`."""
        structure, layers = self._structure, self._order.layers[first:stop]
        edge_s, cloud_s, param, down = (
            np.full(bits.shape[1], value)
            for value in (self._edge_s[first], self._cloud_s[stop], self._param[first], self._down[stop])
        )
        for element, layer in enumerate(layers):
            inside = member(bits, element)
            edge_s += np.where(inside, structure.edge_s[layer], 0.0)
            cloud_s += np.where(inside, 0.0, structure.cloud_s[layer])
            param += np.where(inside, structure.param_bytes[layer], 0.0)
            down += np.where(inside, 0.0, structure.down_bytes[layer])
        tensors = self._tensors(first, stop)
        crossing = np.array([self._crosses(t, first, stop, bits) for t in tensors], dtype=np.bool_)
        crossing = crossing.reshape(len(tensors), bits.shape[1])
        cuts = Cuts(first, stop - first, bits, edge_s, cloud_s, param, down, np.array(tensors, np.intp), crossing)
        self._override(cuts)
        kept = [row for row, t in enumerate(tensors) if not structure.tensors[t].send]
        return cuts.keep(np.asarray(~crossing[kept].any(axis=0))) if kept else cuts

    def _tensors(self, first: int, stop: int) -> list[int]:
        """Tensors made before `stop` and read at `first` or later."""
        while self._waiting and self._made[self._waiting[-1]] < stop:
            self._active.add(self._waiting.pop())
        self._active = {t for t in self._active if self._readers[t][-1] >= first}
        return sorted(self._active)

    def _crosses(self, tensor: int, first: int, stop: int, bits: Words) -> Bools:
        """Which sets make `tensor` and leave one of its readers outside."""
        made, readers = int(self._made[tensor]), self._readers[tensor]
        here = member(bits, made - first) if made >= first else np.ones(bits.shape[1], dtype=np.bool_)
        if readers[-1] >= stop:
            return here
        outside = np.zeros(bits.shape[1], dtype=np.bool_)
        for reader in readers:
            if reader >= first:
                outside |= ~member(bits, reader - first)
        return here & outside

    def _override(self, cuts: Cuts) -> None:
        """Puts the seconds of measured rows in the place of the sums."""
        for key, times in self._structure.measured.items():
            found = cuts.find(np.frombuffer(key, dtype=np.bool_)[self._order.layers])
            if found is not None:
                cuts.edge_s[found], cuts.cloud_s[found] = times
