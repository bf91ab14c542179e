"""Cuts of a graph, and a journey of boundary tensors through contiguous bytes, as on the wire."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.model.graph import ModelGraph

Arrays = Mapping[str, NDArray[Any]]


def through_bytes(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays as a receiver gets them: C order, read-only, nothing but their bytes."""
    return {
        name: np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape) for name, array in arrays.items()
    }


def all_cuts(graph: ModelGraph) -> Iterator[tuple[str, ...]]:
    """Every down-closed set of layers that holds the inputs, by adding one layer after the other."""
    start = frozenset(layer.name for layer in graph.layers if not layer.inputs)
    seen, queue = {start}, [start]
    while queue:
        edge = queue.pop()
        yield tuple(layer.name for layer in graph.layers if layer.name in edge)
        for layer in graph.layers:
            if layer.name in edge or any(graph.producer[tensor].name not in edge for tensor in layer.inputs):
                continue
            larger = edge | {layer.name}
            if larger not in seen:
                seen.add(larger)
                queue.append(larger)


def some_cuts(graph: ModelGraph, count: int) -> list[tuple[str, ...]]:
    """`count` different cuts or more: behind layers spread over the graph, then behind two or three at once."""
    chosen = random.Random(0)
    step = max(1, len(graph.layers) // (count // 2))
    cuts = {graph.edge_layers(layer.name) for layer in graph.layers[::step]}
    for _ in range(40 * count):
        if len(cuts) >= count:
            break
        names = [layer.name for layer in chosen.sample(graph.layers, min(len(graph.layers), chosen.choice((1, 2, 3))))]
        cuts.add(graph.edge_layers(names))
    return sorted(cuts)
