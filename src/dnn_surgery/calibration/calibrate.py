"""Puts what was measured whole into a problem, where it overrides the sums of layer times."""

from __future__ import annotations

from collections.abc import Sequence

from dnn_surgery.calibration.cut_times import CutTimes
from dnn_surgery.errors import InputError
from dnn_surgery.planning import Link, Problem
from dnn_surgery.planning.problem import Measured

# Only bytes depend on the link, and a measured row holds none.
_ANY_LINK = Link(bandwidth_bps=1e9)


def calibrate(
    problem: Problem,
    *,
    edge: Sequence[CutTimes] = (),
    cloud: Sequence[CutTimes] = (),
    edge_slowdown: float = 1.0,
) -> Problem:
    """The problem with a `measured` row for each cut that either side measured.

    Args:
        problem: what was predicted.
        edge: what the edge measured; its heads count, multiplied by `edge_slowdown`.
        cloud: what the cloud measured; its tails count.
        edge_slowdown: as the problem was made with.

    A side that did not measure a cut keeps its prediction. What raw tensors take to leave one engine and enter the
    other is in a measured head and tail but stands in the problem with each tensor's codec, so it is taken off here.

    Raises:
        InputError: the slow-down is not positive.
        ProblemError: a cut is no partition of the problem.
        InfeasibleError: a cut breaks a rule of the problem.
    """
    if not edge_slowdown > 0:
        raise InputError(f"the edge's slow-down must be positive, got {edge_slowdown}")
    heads = {frozenset(times.edge): times for times in edge}
    tails = {frozenset(times.edge): times for times in cloud}
    cuts = {frozenset(times.edge): times.edge for times in (*edge, *cloud)}
    rows = []
    for key, cut in cuts.items():
        raw = {tensor.tensor: "raw" for tensor in problem.cost(edge=cut, link=_ANY_LINK).sent}
        encode_s, decode_s = _conversions(problem, raw)
        predicted = _without_codecs(problem, cut)
        edge_s, cloud_s = predicted.edge_s, predicted.cloud_s
        if key in heads:
            edge_s = max(0.0, heads[key].head_s * edge_slowdown - encode_s)
        if key in tails:
            cloud_s = max(0.0, tails[key].tail_s - decode_s)
        rows.append(Measured(cut, edge_s, cloud_s))
    return problem.with_measured(rows)


def _conversions(problem: Problem, tensors: dict[str, str]) -> tuple[float, float]:
    """Seconds to encode and to decode these tensors raw; a tensor that may not travel raw counts nothing."""
    ways = [
        way
        for layer in problem.layers
        for tensor in layer.outputs
        if tensor.name in tensors
        for way in tensor.ways
        if way.name == tensors[tensor.name]
    ]
    return sum(way.encode_s for way in ways), sum(way.decode_s for way in ways)


def _without_codecs(problem: Problem, cut: tuple[str, ...]) -> Measured:
    """The row that says what the sums of layer times say, or the measured row that is already there."""
    for row in problem.measured:
        if frozenset(row.edge) == frozenset(cut):
            return row
    inside = set(cut) | {layer.name for layer in problem.layers if not layer.inputs}
    return Measured(
        cut,
        sum(layer.edge_s for layer in problem.layers if layer.name in inside),
        sum(layer.cloud_s for layer in problem.layers if layer.name not in inside),
    )
