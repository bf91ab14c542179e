"""The partitions of a frontier, whatever they are sent with."""

from __future__ import annotations

import itertools

import numpy as np

from dnn_surgery.planning.frontier import frontier
from dnn_surgery.planning.problem import Problem


def frontier_cuts(problem: Problem) -> list[tuple[str, ...]]:
    """The layers at the edge (in topological order) of each partition on the frontier, those with fewest first.

    Raises:
        InfeasibleError: rules contradict each other, or the problem has no frontier below the cap.
    """
    table = problem.frontier or frontier(problem)
    masks = np.unpackbits(np.unique(table.edge_bits, axis=0), axis=1, count=len(table.layers))
    cuts = (tuple(itertools.compress(table.layers, mask.tolist())) for mask in masks)
    return sorted(cuts, key=lambda cut: (len(cut), cut))
