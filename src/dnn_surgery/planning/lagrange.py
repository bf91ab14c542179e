"""What is to be minimised, and its Lagrangian relaxation over minimum cuts.

A task is to minimise a linear objective, or the largest of several linear stages, over partitions that keep linear
limits. With a weight for each stage (they sum to 1) and each limit (0 or more), the weighted sum is again a linear
objective, so one minimum cut solves it, and for any weights

    min over partitions of (objective + weights . stages + weights . (limits - bounds))  <=  the task's optimum.

The best weights come from Kelley's cutting planes: a small linear program over the partitions seen so far, whose value
is an upper bound of what any weights can prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.mixture import best_mixture
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.score import columns_of
from dnn_surgery.planning.structure import Bools, Floats, Ints, Structure
from dnn_surgery.planning.ties import TIE

# Weights of limits, in objective per relative violation, are searched in this box; any of them proves a bound.
_HEAVIEST = 1e3


@dataclass(frozen=True, eq=False)
class Task:
    """Minimise `objective . y` or, with stages, the largest of `stages @ y`, subject to `limits @ y <= bounds`.

    y are the six columns of a partition. `names` are what the bounds are called.
    """

    objective: Floats
    stages: Floats  # [stages, 6]; no rows for a linear objective
    limits: Floats  # [limits, 6]
    bounds: Floats

    @classmethod
    def of(cls, link: Link, goal: Goal) -> Task:
        """The task of a goal; a rate makes limits on the stages."""
        latency = Prices.latency(link, *goal.loads).vector
        stages = np.diag([goal.edge_load, link.up_byte_s, goal.cloud_load, 0, 0, 0])[:3]
        limits, bounds = [], []
        if goal.rate_hz is not None:
            limits += list(stages)
            bounds += [1 / goal.rate_hz] * 3
        for column, bound in ((4, goal.limits.edge_param_bytes), (1, goal.limits.frame_bytes)):
            if bound is not None:
                limits.append(np.eye(6)[column])
                bounds.append(bound)
        if goal.limits.deadline_s is not None:
            limits.append(latency)
            bounds.append(goal.limits.deadline_s)
        objective = latency
        if goal.objective == "energy" and goal.power is not None:
            objective = goal.power.prices(link, goal.edge_load).vector
        spread = goal.objective == "throughput"
        return cls(
            objective=np.zeros(6) if spread else objective,
            stages=stages if spread else np.zeros((0, 6)),
            limits=np.array(limits).reshape(-1, 6),
            bounds=np.array(bounds, dtype=np.float64),
        )

    def value(self, columns: Floats) -> float:
        """The objective of a partition; infinite where it breaks a limit."""
        if (self.limits @ columns > self.bounds * (1 + TIE)).any():
            return float("inf")
        linear = float(self.objective @ columns)
        return linear + float((self.stages @ columns).max()) if len(self.stages) else linear


@dataclass(frozen=True, eq=False)
class Point:
    """A partition with the codec of every tensor, and its columns by sums of layer times."""

    edge: Bools
    ways: Ints
    columns: Floats


@dataclass(frozen=True, eq=False)
class Weights:
    """A weight for each stage and each limit, and the prices they make."""

    stages: Floats
    limits: Floats

    def prices(self, task: Task) -> Prices:
        """The linear objective that these weights make of the task."""
        return Prices(*(task.objective + self.stages @ task.stages + self.limits @ task.limits).tolist())


def first_weights(task: Task) -> Weights:
    """Equal weights of the stages, none of the limits: DSL's objective."""
    count = len(task.stages)
    return Weights(np.full(count, 1 / max(count, 1)), np.zeros(len(task.limits)))


def best_weights(task: Task, points: Sequence[Point], scale: float) -> tuple[Weights, float, Floats]:
    """The weights that prove most against `points`, what they prove, and the mixture [points] that prevents more.

    `scale` is about the objective's size. The linear program: maximise t subject to t <= the weighted sum of each
    point.
    """
    columns = np.array([point.columns for point in points])
    linear = columns @ task.objective / scale
    stages = columns @ task.stages.T / scale
    # A limit of zero has no relative violation; its own columns give the scale.
    sizes = np.where(task.bounds > 0, task.bounds, np.maximum(np.abs(columns @ task.limits.T).max(axis=0), 1e-300))
    broken = (columns @ task.limits.T - task.bounds) / sizes
    mixture = best_mixture(linear, stages, broken, _HEAVIEST)
    shares = mixture.stages / mixture.stages.sum() if len(mixture.stages) else mixture.stages
    return Weights(shares, mixture.limits * scale / sizes), mixture.value * scale, mixture.points


def point_of(structure: Structure, edge: Bools, ways: Ints) -> Point:
    """The point of a partition, with `ways` for all tensors."""
    return Point(edge, ways, columns_of(structure, edge, ways[structure.crossing(edge)].tolist(), sums=True).vector)
