"""DSL of the paper: the partition of least T_e + T_t + T_c as a minimum cut, with what the paper leaves out.

The network G' of the paper (source = edge, sink = cloud; a node on the source's side runs at the edge):

    source -> v            cost of v in the cloud, paid when v is on the sink's side
    v -> sink              cost of v at the edge
    v -> u                 cost of sending v's tensor, where u alone reads it
    v -> x -> each reader  the same where several read it: v -> x is paid once, x -> reader is infinite

Corrections: inputs (and pins) are tied to their side; infinite arcs reader -> v, so that no layer at the edge needs one
in the cloud; a node that carries the round trip, source -> r -> each last layer; the result's way back is a cost of the
layers in the cloud; tensors that may not leave have infinite arcs. With any `Prices` it minimises any
linear objective. One cut costs O(n^2 m) at worst and near n + m on real networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnn_surgery.planning.flow import ROUNDS, Network
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.structure import Bools, Ints, Structure

_FIRST = 2  # nodes 0 and 1 are source and sink; layer i is node 2 + i


@dataclass(frozen=True, eq=False)
class PricedCut:
    """The best partition at some prices, `edge`; `widest` has more edge layers and costs the same or a little more.

    `ways` is the cheapest codec of every tensor. `lower_bound` is proved for all partitions by sums of layer times
    (measured rows are not seen here).
    """

    edge: Bools
    widest: Bools
    ways: Ints
    value: float
    lower_bound: float


class DslNetwork:
    """The network of one problem; the pattern is built once, capacities come from the prices of each call.

    With `corrected` false it is the paper's graph to the letter: nothing is tied to a side and no arc runs backwards.
    """

    def __init__(self, structure: Structure, *, corrected: bool = True) -> None:
        self._structure = structure
        nothing = np.zeros(len(structure.names), dtype=np.bool_)
        self._fixed = (structure.rules.edge, structure.rules.cloud) if corrected else (nothing, nothing)
        layers = np.arange(len(structure.names)) + _FIRST
        readers = structure.consumers
        shared = [t for t, consumers in enumerate(readers) if len(consumers) > 1]
        carrier = {t: _FIRST + len(layers) + i for i, t in enumerate(shared)}
        trip = _FIRST + len(layers) + len(shared)
        maker = structure.producer + _FIRST
        target = np.array([carrier.get(t, _FIRST + consumers[0]) for t, consumers in enumerate(readers)], dtype=np.intp)
        fan = [(carrier[t], _FIRST + reader) for t in shared for reader in readers[t]]
        back = [(_FIRST + v, _FIRST + parent) for v, parents in enumerate(structure.predecessors) for parent in parents]
        last = [(trip, _FIRST + v) for v, children in enumerate(structure.successors) if not children]
        infinite = np.array([*fan, *back, *last] if corrected else fan, dtype=np.intp).reshape(-1, 2)
        source, sink = np.zeros_like(layers), np.ones_like(layers)
        tails = np.concatenate((source, layers, maker, [0], infinite[:, 0]))
        heads = np.concatenate((layers, sink, target, [trip], infinite[:, 1]))
        self._network = Network(trip + 1, tails, heads)
        self._infinite = np.full(len(infinite), np.inf)
        self._may_leave = np.array([tensor.send or not corrected for tensor in structure.tensors], dtype=np.bool_)

    def solve(
        self,
        prices: Prices,
        fixed: tuple[Bools, Bools] | None = None,
        allowed: Bools | None = None,
        rounds: int = ROUNDS,
    ) -> PricedCut:
        """The best partition at these prices that holds `fixed[0]` at the edge and `fixed[1]` in the cloud.

        `fixed` must be closed (see `Rules.with_fixed`); by default it is what the rules force. `allowed` says which
        codecs may be used. Fewer `rounds` leave a gap between value and bound.
        """
        structure = self._structure
        edge, cloud = fixed or self._fixed
        stay = structure.edge_s * prices.edge_s + structure.param_bytes * prices.param_byte
        leave = structure.cloud_s * prices.cloud_s + structure.down_bytes * prices.down_byte
        ways, send = structure.ways.cheapest(*prices.travel, allowed=allowed)
        common = np.where(edge, stay, np.where(cloud, leave, np.minimum(stay, leave)))
        capacity = np.concatenate(
            (
                np.where(edge, np.inf, leave - common),
                np.where(cloud, np.inf, stay - common),
                np.where(self._may_leave, send, np.inf),
                [prices.sent],
                self._infinite,
            )
        )
        # Fixed layers pay their own side in `common`; leave - common of one fixed to the cloud is 0.
        np.maximum(capacity, 0.0, out=capacity)
        base = float(common.sum())

        def value_of(partition: Bools) -> float:
            sides = float(stay[partition].sum() + leave[~partition].sum() + send[structure.crossing(partition)].sum())
            return sides + (0.0 if partition.all() else prices.sent)

        candidates = [(value_of(partition), partition) for partition in (edge, ~cloud)]
        known, best = min(candidates, key=lambda candidate: candidate[0])
        cut = self._network.minimum_cut(capacity, max(known - base, 0.0) * (1 + 1e-12), rounds)
        side, widest = (mask[_FIRST : _FIRST + len(edge)] for mask in (cut.side, cut.widest))
        if np.isfinite(cut.value) and value_of(side) <= known:
            known, best = value_of(side), side
        else:
            widest = best
        return PricedCut(best, widest, ways, known, min(known, base + cut.lower_bound))
