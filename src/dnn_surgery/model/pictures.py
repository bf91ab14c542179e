"""Which graphs read a picture."""

from __future__ import annotations

from dataclasses import replace

from dnn_surgery.model.graph import ModelGraph, Picture


def with_picture(graph: ModelGraph) -> ModelGraph:
    """The graph, with a `Picture` if it has none and its only input is uint8 `[N, H, W, 3]`: nothing else looks so."""
    tensor = graph.tensors[graph.inputs[0]]
    if graph.picture is not None or len(graph.inputs) != 1 or tensor.dtype != "uint8" or len(tensor.shape) != 4:
        return graph
    _, height, width, channels = tensor.shape
    if channels != 3 or height is None or width is None:
        return graph
    return replace(graph, picture=Picture(tensor=tensor.name, height=height, width=width))
