"""What people call a partition."""

from __future__ import annotations

from collections.abc import Collection

from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.model.graph import ModelGraph


def cut_name(graph: ModelGraph, edge: Collection[str]) -> str:
    """``features.4`` (or ``a + b``): the tensors that are sent; ``edge`` if none is, ``cloud`` if only inputs are."""
    sent = cut_tensors(graph, edge).sent
    if not sent:
        return "edge"
    if set(sent) <= set(graph.inputs):
        return "cloud"
    return " + ".join(sent)
