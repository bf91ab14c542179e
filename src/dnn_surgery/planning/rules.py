"""What inputs, pins and tensors that may not leave force.

A layer at the edge takes its predecessors along, and the readers of those of its tensors that may not leave; a layer
in the cloud takes its successors along, and the makers of the tensors it reads that may not leave. The partitions that
obey all rules are then exactly the sets closed under the first relation that hold `edge` and none of `cloud`; `edge`
itself is one, unless the rules contradict each other, which shows as the two sets meeting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnn_surgery.planning.problem import ProblemLayer, TensorCost

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rules:
    """Layers forced to each side [layers], the relations that force, and why they contradict each other (or None)."""

    edge: Bools
    cloud: Bools
    with_edge: tuple[tuple[int, ...], ...]
    with_cloud: tuple[tuple[int, ...], ...]
    conflict: str | None

    def with_fixed(self, edge: Bools, cloud: Bools) -> tuple[Bools, Bools] | None:
        """Both sets with these further layers and all that they force; None where that is a contradiction."""
        grown_edge = closure(np.flatnonzero(edge), self.with_edge, self.edge)
        grown_cloud = closure(np.flatnonzero(cloud), self.with_cloud, self.cloud)
        return None if bool((grown_edge & grown_cloud).any()) else (grown_edge, grown_cloud)


def rules_of(
    layers: Sequence[ProblemLayer],
    neighbours: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]],
    tensors: Sequence[TensorCost],
    maker: Mapping[str, int],
    readers: Mapping[str, set[int]],
) -> Rules:
    """The rules of layers in topological order; `neighbours` are each layer's predecessors and successors."""
    with_edge, with_cloud = ([list(along) for along in direction] for direction in neighbours)
    for tensor in tensors:
        if not tensor.send:
            with_edge[maker[tensor.name]].extend(readers[tensor.name])
            for reader in readers[tensor.name]:
                with_cloud[reader].append(maker[tensor.name])
    nothing = np.zeros(len(layers), dtype=np.bool_)
    at_edge = [i for i, layer in enumerate(layers) if layer.pin == "edge" or not layer.inputs]
    edge = closure(at_edge, with_edge, nothing)
    cloud = closure([i for i, layer in enumerate(layers) if layer.pin == "cloud"], with_cloud, nothing)
    return Rules(
        edge=edge,
        cloud=cloud,
        with_edge=tuple(map(tuple, with_edge)),
        with_cloud=tuple(map(tuple, with_cloud)),
        conflict=_conflict(layers, tensors, edge & cloud),
    )


def closure(start: Iterable[int], along: Sequence[Sequence[int]], known: Bools) -> Bools:
    """The mask of `known` (already closed), `start` and everything reachable from `start`."""
    mask: Bools = known.copy()
    stack = [int(index) for index in start]
    while stack:
        index = stack.pop()
        if not mask[index]:
            mask[index] = True
            stack.extend(along[index])
    return mask


def _conflict(layers: Sequence[ProblemLayer], tensors: Sequence[TensorCost], both: Bools) -> str | None:
    if not both.any():
        return None
    cloud = ", ".join(layer.name for layer in layers if layer.pin == "cloud")
    edge = ", ".join(layer.name for layer in layers if layer.pin == "edge")
    kept = ", ".join(tensor.name for tensor in tensors if not tensor.send)
    causes = [f"{what} ({names})" for what, names in (("pins to the edge", edge), ("send: false", kept)) if names]
    against = f" and the {' and the '.join(causes)}" if causes else ""
    place = layers[int(np.flatnonzero(both)[0])].name
    return f"the pins to the cloud ({cloud}){against} contradict each other at layer {place!r}"
