"""Which cuts are worth measuring whole: all at bottleneck vertices, and those that win somewhere inside a segment."""

from __future__ import annotations

import numpy as np

from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import bottleneck_cuts
from dnn_surgery.planning import Link, Problem, plan

Cut = tuple[str, ...]
"""Names of the layers at the edge, in topological order."""

# From a satellite's trickle to a data centre; the edge as fast as the cloud, and as slow as a small board beside it.
_BANDWIDTHS_BPS = tuple(float(rate) for rate in np.geomspace(1e5, 1e10, 16))
_EDGE_LOADS = (1.0, 4.0, 16.0)


def candidate_cuts(graph: ModelGraph, problem: Problem) -> tuple[Cut, ...]:
    """All cuts at bottleneck vertices, in order, then the leading ones inside segments.

    A cut leads where it has the least predicted latency on some link at some slow-down of the edge.

    Raises:
        InfeasibleError: the rules of the problem leave no cut.
    """
    cuts = list(bottleneck_cuts(graph))
    known = {frozenset(cut) for cut in cuts}
    for load in _EDGE_LOADS:
        for bandwidth_bps in _BANDWIDTHS_BPS:
            edge = plan(problem, Link(bandwidth_bps=bandwidth_bps), edge_load=load).edge
            if frozenset(edge) not in known:
                known.add(frozenset(edge))
                cuts.append(tuple(layer.name for layer in graph.layers if layer.name in set(edge)))
    return tuple(cuts)
