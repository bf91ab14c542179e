"""A problem as indices and arrays: what the solvers read.

Layers are numbered in topological order (the file's order wherever it already is one), tensors in the order of their
layers. Only tensors that another layer reads can cross a cut and get a number.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dnn_surgery.planning.problem import CodecCost, Problem, ProblemLayer, TensorCost
from dnn_surgery.planning.rules import Rules, rules_of

if TYPE_CHECKING:
    from dnn_surgery.planning.mincut import DslNetwork

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Structure:
    """Layers (arrays of their number), tensors that cross between layers, and what the rules force.

    `down_bytes` are the bytes of a layer's tensors that are outputs of the model: they travel down when it runs in the
    cloud. `measured` maps the bytes of an edge mask to the whole head's and tail's seconds, `forbidden` to the
    choices of codecs (one for each crossing tensor, in their order) that must not be used with it.
    """

    names: tuple[str, ...]
    tier_s: Floats  # [layers, tiers]
    edge_s: Floats
    cloud_s: Floats
    param_bytes: Floats
    down_bytes: Floats
    predecessors: tuple[tuple[int, ...], ...]
    successors: tuple[tuple[int, ...], ...]
    is_input: Bools
    pinned_cloud: Bools
    tensors: tuple[TensorCost, ...]
    producer: Ints
    consumers: tuple[tuple[int, ...], ...]
    rules: Rules
    ways: Ways
    measured: dict[bytes, tuple[float, float]]
    forbidden: dict[bytes, frozenset[tuple[int, ...]]]

    @classmethod
    def of(cls, problem: Problem) -> Structure:
        """The structure of a checked problem."""
        layers = _topological(problem)
        number = {layer.name: index for index, layer in enumerate(layers)}
        maker = {tensor.name: index for index, layer in enumerate(layers) for tensor in layer.outputs}
        predecessors = tuple(tuple(sorted({maker[name] for name in layer.inputs})) for layer in layers)
        readers: dict[str, set[int]] = {}
        for index, layer in enumerate(layers):
            for name in layer.inputs:
                readers.setdefault(name, set()).add(index)
        tensors = tuple(tensor for layer in layers for tensor in layer.outputs if tensor.name in readers)
        consumers = tuple(tuple(sorted(readers[tensor.name])) for tensor in tensors)
        producer = np.array([maker[tensor.name] for tensor in tensors], dtype=np.intp)
        successors = _successors(predecessors)
        outputs = set(problem.outputs)
        down = [sum(tensor.size_bytes for tensor in layer.outputs if tensor.name in outputs) for layer in layers]
        is_input = np.array([not layer.inputs for layer in layers])
        ways = Ways.of(tensors)
        return cls(
            names=tuple(layer.name for layer in layers),
            tier_s=np.array([layer.tier_s for layer in layers], dtype=np.float64),
            edge_s=np.array([layer.edge_s for layer in layers], dtype=np.float64),
            cloud_s=np.array([layer.cloud_s for layer in layers], dtype=np.float64),
            param_bytes=np.array([layer.param_bytes for layer in layers], dtype=np.float64),
            down_bytes=np.array(down, dtype=np.float64),
            predecessors=predecessors,
            successors=successors,
            is_input=is_input,
            pinned_cloud=np.array([layer.pin == "cloud" for layer in layers]),
            tensors=tensors,
            producer=producer,
            consumers=consumers,
            rules=rules_of(layers, (predecessors, successors), tensors, maker, readers),
            measured={
                mask_of(row.edge, number, is_input).tobytes(): (row.edge_s, row.cloud_s) for row in problem.measured
            },
            forbidden=_forbidden(problem, number, is_input, tensors, ways),
            ways=ways,
        )

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each layer's name."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def dsl(self) -> DslNetwork:
        """The flow network of DSL, built once for many prices."""
        from dnn_surgery.planning.mincut import DslNetwork

        return DslNetwork(self)

    def crossing(self, edge: Bools) -> Ints:
        """Numbers of the tensors made in the set `edge` [layers] and read outside it."""
        return np.flatnonzero(edge[self.producer] & self.read_outside(edge))

    def read_outside(self, edge: Bools) -> Bools:
        """For each tensor whether a layer outside the set `edge` reads it."""
        if not self.tensors:
            return np.zeros(0, dtype=np.bool_)
        flat, starts = self._readers
        return np.asarray(np.logical_or.reduceat(~edge[flat], starts))

    @cached_property
    def _readers(self) -> tuple[Ints, Ints]:
        flat = np.array([layer for readers in self.consumers for layer in readers], dtype=np.intp)
        sizes = [len(readers) for readers in self.consumers]
        return flat, np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp)


@dataclass(frozen=True, eq=False)
class Ways:
    """Codecs of all tensors, one after another: those of tensor t are numbers `start[t]` up to `start[t + 1]`."""

    codecs: tuple[CodecCost, ...]
    start: Ints
    size_bytes: Floats
    encode_s: Floats
    decode_s: Floats

    @classmethod
    def of(cls, tensors: tuple[TensorCost, ...]) -> Ways:
        """The codecs of `tensors`."""
        codecs = tuple(codec for tensor in tensors for codec in tensor.ways)
        return cls(
            codecs=codecs,
            start=np.concatenate(([0], np.cumsum([len(tensor.ways) for tensor in tensors]))).astype(np.intp),
            size_bytes=np.array([codec.size_bytes for codec in codecs], dtype=np.float64),
            encode_s=np.array([codec.encode_s for codec in codecs], dtype=np.float64),
            decode_s=np.array([codec.decode_s for codec in codecs], dtype=np.float64),
        )

    def cheapest(
        self, edge_s: float, up_byte: float, cloud_s: float, allowed: Bools | None = None
    ) -> tuple[Ints, Floats]:
        """The cheapest codec of each tensor, and its cost, at prices of an edge second, a byte up, a cloud second.

        Among equally cheap ones that with the fewest bytes is taken. `allowed` [codecs] must leave each tensor one.
        """
        cost: Floats = self.encode_s * edge_s + self.size_bytes * up_byte + self.decode_s * cloud_s
        if allowed is not None:
            cost = np.where(allowed, cost, np.inf)
        if len(self.codecs) == len(self.start) - 1:
            return self.start[:-1], cost
        tensor = np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))
        order = np.lexsort((self.size_bytes, cost, tensor))
        best = order[self.start[:-1]]
        return best, cost[best]


def mask_of(edge: tuple[str, ...], number: dict[str, int], is_input: Bools) -> Bools:
    """The mask [layers] of the named layers and the inputs."""
    mask: Bools = is_input.copy()
    mask[[number[name] for name in edge]] = True
    return mask


def _forbidden(
    problem: Problem, number: dict[str, int], is_input: Bools, tensors: tuple[TensorCost, ...], ways: Ways
) -> dict[bytes, frozenset[tuple[int, ...]]]:
    """Bans as numbers; one that names a codec which is no longer admitted bans nothing."""
    place = {
        (tensor.name, codec.name): int(ways.start[t]) + c
        for t, tensor in enumerate(tensors)
        for c, codec in enumerate(tensor.ways)
    }
    bans: dict[bytes, frozenset[tuple[int, ...]]] = {}
    for ban in problem.forbidden:
        if all(pair in place for pair in ban.codecs):
            key = mask_of(ban.edge, number, is_input).tobytes()
            bans[key] = bans.get(key, frozenset()) | {tuple(sorted(place[pair] for pair in ban.codecs))}
    return bans


def admissible_measured(structure: Structure) -> list[Bools]:
    """The partitions of the measured rows that obey all rules."""
    masks = [np.frombuffer(key, dtype=np.bool_) for key in structure.measured]
    return [mask for mask in masks if obeys(structure, mask)]


def is_forbidden(structure: Structure, edge: Bools, ways: Sequence[int]) -> bool:
    """Whether the partition must not be used with these codecs, one for each crossing tensor in their order."""
    return bool(structure.forbidden) and tuple(ways) in structure.forbidden.get(edge.tobytes(), ())


def obeys(structure: Structure, edge: Bools) -> bool:
    """Whether the down-closed set `edge` obeys pins and tensors that may not leave."""
    rules = structure.rules
    if (rules.edge & ~edge).any() or (rules.cloud & edge).any():
        return False
    return all(structure.tensors[t].send for t in structure.crossing(edge))


def _topological(problem: Problem) -> list[ProblemLayer]:
    """Kahn's algorithm; among the layers that are ready, the first of the file."""
    maker = {tensor.name: index for index, layer in enumerate(problem.layers) for tensor in layer.outputs}
    needs = [{maker[name] for name in layer.inputs} for layer in problem.layers]
    readers: list[list[int]] = [[] for _ in problem.layers]
    for index, parents in enumerate(needs):
        for parent in parents:
            readers[parent].append(index)
    waiting = [len(parents) for parents in needs]
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(problem.layers[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return order


def _successors(predecessors: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    successors: list[list[int]] = [[] for _ in predecessors]
    for index, parents in enumerate(predecessors):
        for parent in parents:
            successors[parent].append(index)
    return tuple(map(tuple, successors))
