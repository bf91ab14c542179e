"""Minimum s-t cuts of networks with real capacities, with a proved bound.

scipy's maximum flow (Dinic, O(n^2 m)) takes int32 capacities, so real ones are scaled and rounded down. Rounding down
makes the flow feasible, hence a lower bound, but 26 bits alone leave a gap of up to 2.5e-4. The rest is closed by
solving again on the residual network (Edmonds and Karp's scaling, with a scale of the gap instead of a power of two):

- A feasible flow of value L and a cut of value U leave a residual network whose minimum cut is at most D = U - L.
- Its capacities can be clamped just above D (an arc of more cannot be in a minimum cut) and scaled by 2^26 / D.
- Its flow raises L, and the cut it shows may lower U. The gap shrinks by about 2^26 / arcs in each round.

Two rounds nearly always reach float64's own precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

# Sums along a path of residual capacities must stay below 2^31: an infinite arc plus all flow is 2^29 + 2^26.
_FLOW = 2**26
_CLAMP = 2**27
_INFINITE = 2**29
ROUNDS = 5
_CLOSED = 1e-10


@dataclass(frozen=True, eq=False)
class Cut:
    """A cut: the nodes on the source's side, its value, and a proved lower bound on every cut's value.

    Where several cuts are least, `side` is the smallest source side and `widest` the largest, up to what rounding of
    the last round hides: the value of `widest` may be a little larger.
    """

    side: Bools
    widest: Bools
    value: float
    lower_bound: float


class Network:
    """Nodes 0 (source), 1 (sink) and others, with arcs whose capacities are given when solving.

    The sparse pattern, made symmetric so that reverse arcs have a place, is built once and used for many capacities.
    Arcs between the same nodes add up.
    """

    def __init__(self, nodes: int, tails: Ints, heads: Ints) -> None:
        both = np.concatenate((tails * nodes + heads, heads * nodes + tails))
        keys, place = np.unique(both, return_inverse=True)
        self.nodes = nodes
        self._place = place[: len(tails)]
        self._tail, self._head = keys // nodes, keys % nodes
        self._indices = self._head.astype(np.int32)
        self._indptr = np.searchsorted(self._tail, np.arange(nodes + 1)).astype(np.int32)
        nothing = np.zeros(len(keys), dtype=np.int32)
        self._graph = csr_array((nothing, self._indices, self._indptr), shape=(nodes, nodes))
        self._reverse = np.searchsorted(keys, self._head * nodes + self._tail)

    def minimum_cut(self, capacity: Floats, known: float, rounds: int = ROUNDS) -> Cut:
        """The minimum cut; `capacity` may be infinite, `known` is the finite value of some cut.

        Fewer `rounds` are quicker and leave a larger gap. Where all cuts below `known` are infinite the value is too.
        """
        total = np.bincount(self._place, weights=capacity, minlength=len(self._indices)).astype(np.float64)
        residual = total.copy()
        lower, value, upper = 0.0, np.inf, known
        side = np.zeros(self.nodes, dtype=np.bool_)
        left = np.zeros(len(self._indices), dtype=np.int32)
        for _ in range(rounds):
            scale = _FLOW / (upper - lower) if upper > lower else np.inf
            if not np.isfinite(scale):
                # Nothing is left to be told apart: what is reachable without any cost.
                whole = np.where(residual > 0, 1, 0).astype(np.int32)
                flow, gained = np.zeros_like(whole), 0.0
            else:
                whole = self._rounded(residual, scale)
                flow, amount = self._flow(whole)
                gained = amount / scale
                residual = np.maximum(residual - flow / scale, 0.0)
            lower += gained
            found = self._reachable(whole > flow, 0)
            found_value = self._value(total, found)
            if found_value < value:
                side, left, value = found, whole - flow, found_value
            upper = min(upper, value)
            if upper - lower <= _CLOSED * upper:
                break
        widest = ~self._reachable(left[self._reverse] > 0, 1) if np.isfinite(value) else side
        return Cut(side, widest, value, min(lower, upper))

    def _rounded(self, residual: Floats, scale: float) -> npt.NDArray[np.int32]:
        with np.errstate(over="ignore"):
            scaled = np.floor(np.minimum(residual * scale, _CLAMP))
        return np.where(np.isinf(residual), _INFINITE, scaled).astype(np.int32)

    def _flow(self, capacity: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], int]:
        self._graph.data = capacity
        result = maximum_flow(self._graph, 0, 1)
        return np.asarray(result.flow.data, dtype=np.int32), int(result.flow_value)

    def _reachable(self, arcs: Bools, start: int) -> Bools:
        indptr = np.concatenate(([0], np.cumsum(arcs)))[self._indptr].astype(np.int32)
        indices = self._indices[arcs]
        graph = csr_array((np.ones(len(indices)), indices, indptr), shape=(self.nodes, self.nodes))
        order = breadth_first_order(graph, start, return_predecessors=False)
        mask = np.zeros(self.nodes, dtype=np.bool_)
        mask[order] = True
        return mask

    def _value(self, total: Floats, side: Bools) -> float:
        if side[1]:
            return float("inf")
        return float(total[side[self._tail] & ~side[self._head]].sum())
