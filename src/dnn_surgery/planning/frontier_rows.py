"""A frontier with further rows: plans that are known to be good, beside all that another problem allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.problem import Problem

# A byte takes a second both ways, so that seconds are bytes.
_BYTE_A_SECOND = Link(bandwidth_bps=8.0, download_bps=8.0)


def with_plans(frontier: Frontier, problem: Problem, plans: Sequence[Plan]) -> Frontier:
    """The frontier with a row for each plan's partition and codecs, costed by `problem`, which has the same layers.

    Raises:
        ProblemError: a plan is none of the problem's.
    """
    if not plans:
        return frontier
    number = {name: index for index, name in enumerate(frontier.layers)}
    columns, masks, ways, starts = [], [], list[int](), [int(frontier.start[-1])]
    sent = [one for plan in plans for one in plan.sent]
    for plan in plans:
        cost = problem.cost(edge=plan.edge, link=_BYTE_A_SECOND, codecs={one.tensor: one.codec for one in plan.sent})
        inside = set(plan.edge)
        param_bytes = sum(layer.param_bytes for layer in problem.layers if layer.name in inside)
        columns.append([cost.edge_s, cost.transfer_s, cost.cloud_s, float(bool(plan.sent)), param_bytes, cost.return_s])
        mask = np.zeros(len(frontier.layers), np.bool_)
        mask[[number[name] for name in plan.edge]] = True
        masks.append(np.packbits(mask))
        ways += range(len(frontier.way_tensor) + len(ways), len(frontier.way_tensor) + len(ways) + len(plan.sent))
        starts.append(starts[-1] + len(plan.sent))
    return replace(
        frontier,
        columns=np.concatenate([frontier.columns, np.array(columns, np.float64).T], axis=1),
        edge_bits=np.concatenate([frontier.edge_bits, np.array(masks, np.uint8)]),
        start=np.concatenate([frontier.start, np.array(starts[1:], frontier.start.dtype)]),
        ways=np.concatenate([frontier.ways, np.array(ways, frontier.ways.dtype)]),
        way_tensor=(*frontier.way_tensor, *(one.tensor for one in sent)),
        way_codec=(*frontier.way_codec, *(one.codec for one in sent)),
        way_bytes=(*frontier.way_bytes, *(float(one.bytes) for one in sent)),
        combinations=frontier.combinations + len(plans),
    )
