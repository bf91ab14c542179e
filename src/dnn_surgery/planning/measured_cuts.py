"""Whole heads and tails that a device measured, as rows of a problem, where they override the sums of layer times."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dnn_surgery.errors import ProblemError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.problem import Measured, Problem
from dnn_surgery.profiling.profile import MeasuredCut


def with_measured_cuts(
    problem: Problem,
    *,
    edge: Iterable[MeasuredCut] = (),
    cloud: Iterable[MeasuredCut] = (),
    edge_slowdown: float = 1.0,
) -> Problem:
    """The problem with a `measured` row for each cut that either side measured.

    Of the edge's cuts the heads count, multiplied by `edge_slowdown`; of the cloud's the tails. A side that did not
    measure a cut keeps what the problem says of it. What raw tensors take to leave one engine and to enter the other
    one is in a measured head and tail but stands in the problem with each tensor's codec, so it is taken off here.

    Raises:
        ProblemError: a cut names layers that the problem does not have.
    """
    heads = {frozenset(cut.edge): cut for cut in edge}
    tails = {frozenset(cut.edge): cut for cut in cloud}
    rows = []
    for key in dict.fromkeys((*heads, *tails)):
        row = _predicted(problem, (heads.get(key) or tails[key]).edge)
        encode_s, decode_s = _conversions(problem, row.edge)
        edge_s = max(0.0, heads[key].head_s * edge_slowdown - encode_s) if key in heads else row.edge_s
        cloud_s = max(0.0, tails[key].tail_s - decode_s) if key in tails else row.cloud_s
        rows.append(Measured(row.edge, edge_s, cloud_s))
    return problem.with_measured(rows)


def _predicted(problem: Problem, cut: tuple[str, ...]) -> Measured:
    """The row that is already there, or else the one that says what the sums of layer times say."""
    known = {layer.name for layer in problem.layers}
    if unknown := [name for name in cut if name not in known]:
        raise ProblemError(f"a measured cut names {unknown[0]!r}, which is no layer{near(unknown[0], known)}")
    for row in problem.measured:
        if frozenset(row.edge) == frozenset(cut):
            return row
    inside = _inside(problem, cut)
    return Measured(
        cut,
        sum(layer.edge_s for layer in problem.layers if layer.name in inside),
        sum(layer.cloud_s for layer in problem.layers if layer.name not in inside),
    )


def _conversions(problem: Problem, cut: Collection[str]) -> tuple[float, float]:
    """Seconds to encode and to decode all that crosses the cut raw; a tensor that may not travel raw counts nothing."""
    inside = _inside(problem, cut)
    read = {tensor for layer in problem.layers if layer.name not in inside for tensor in layer.inputs}
    raw = [
        way
        for layer in problem.layers
        if layer.name in inside
        for tensor in layer.outputs
        if tensor.name in read
        for way in tensor.ways
        if way.name == "raw"
    ]
    return sum(way.encode_s for way in raw), sum(way.decode_s for way in raw)


def _inside(problem: Problem, cut: Collection[str]) -> set[str]:
    return {layer.name for layer in problem.layers if not layer.inputs}.union(cut)
