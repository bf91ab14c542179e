"""The frontier: every plan of a model that may be the best for some link, load, objective or limit.

Choosing one is a minimum over an array, exact for every bandwidth, round trip and load factor, so a controller can do
it for each frame. How the rows are found: :mod:`dnn_surgery.planning.table`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning.goal import NO_LIMITS, Goal, Limits, Power
from dnn_surgery.planning.infeasible import why_infeasible
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Mode, Objective, Plan, Sent
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.score import Columns, Verdict, assemble, whole
from dnn_surgery.planning.structure import Bools, Floats, Ints
from dnn_surgery.planning.table import build
from dnn_surgery.planning.ties import TIE

CAP = 1_000_000
"""How many rows, after filtering the codecs of each partition, a frontier may be built from."""


class Stages(NamedTuple):
    """What every row costs at one link and one pair of loads: seconds [rows]."""

    edge_s: Floats
    transfer_s: Floats
    cloud_s: Floats
    latency_s: Floats
    bottleneck_s: Floats


@dataclass(frozen=True, eq=False)
class Frontier:
    """Rows: columns [6, rows] in the order of `Columns`, packed edge masks [rows, bytes] over `layers`, codecs sent.

    Row r sends with the ways `ways[start[r]:start[r + 1]]`; way w carries `way_tensor[w]` as `way_bytes[w]` with
    `way_codec[w]`. `partitions` and `combinations` count what was looked at. Plain data: needs no problem any more.
    """

    name: str
    layers: tuple[str, ...]
    columns: Floats
    edge_bits: npt.NDArray[np.uint8]
    start: Ints
    ways: Ints
    way_tensor: tuple[str, ...]
    way_codec: tuple[str, ...]
    way_bytes: tuple[float, ...]
    partitions: int
    combinations: int

    def __len__(self) -> int:
        return int(self.columns.shape[1])

    def best(
        self,
        link: Link,
        edge_load: float = 1.0,
        cloud_load: float = 1.0,
        objective: Objective = "latency",
        *,
        rate_hz: float | None = None,
        limits: Limits = NO_LIMITS,
        power: Power | None = None,
    ) -> Plan:
        """The best plan at this link and these loads, proved: least latency, bottleneck or energy.

        With `rate_hz` only among plans that keep up with it; where there is none, the least bottleneck (mode
        congested).

        Raises:
            InfeasibleError: no plan keeps the limits; the message names the one that cannot be kept.
            InputError: a goal that makes no sense.
        """
        return self.plan(link, Goal(objective, rate_hz, edge_load, cloud_load, limits, power))

    def plan(self, link: Link, goal: Goal) -> Plan:
        """The same as :meth:`best`, for a `Goal`."""
        stages = self.stages(link, goal)
        allowed = self.allowed(stages, goal.limits) if goal.limits.given else None
        if allowed is not None and not allowed.any():
            raise InfeasibleError(why_infeasible(self.columns, stages.latency_s, goal.limits))
        least_s = float(stages.bottleneck_s.min() if allowed is None else stages.bottleneck_s[allowed].min())
        mode: Mode | None = None
        value, other = self.values(stages, goal)
        if goal.rate_hz is not None:
            period_s = (1 + TIE) / goal.rate_hz
            if least_s > period_s:
                mode, value, other = "congested", stages.bottleneck_s, stages.latency_s
            else:
                fastest = self._best(stages.latency_s, stages.bottleneck_s, allowed)
                mode = "light" if stages.bottleneck_s[fastest] <= period_s else "heavy"
                keeps_up = stages.bottleneck_s <= period_s
                allowed = keeps_up if allowed is None else allowed & keeps_up
        row = self._best(value, other, allowed)
        highest_hz = 1.0 / least_s if least_s > 1e-300 else float("inf")
        return self.row(row, link, goal, Verdict(goal.objective, "exact", True, 0.0, mode, highest_hz))

    def leading(self, link: Link, goal: Goal, count: int) -> list[Plan]:
        """The `count` best plans by the goal's objective within its limits, best first; the rate is not looked at."""
        stages = self.stages(link, goal)
        value = self.values(stages, goal)[0]
        rows = np.argsort(value, kind="stable")
        if goal.limits.given:
            rows = rows[self.allowed(stages, goal.limits)[rows]]
        return [self.row(int(row), link, goal, Verdict(goal.objective, "exact")) for row in rows[:count]]

    def within(self, limits: Limits) -> Frontier:
        """The frontier of those rows that keep the limits on memory and on the bytes of a frame, whatever the link.

        Raises:
            InfeasibleError: there is none.
        """
        if limits.deadline_s is not None:
            raise InputError("which rows keep a deadline depends on the link")
        if not limits.given:
            return self
        latency_s = self.columns[0]
        rows = self.allowed(Stages(*[latency_s] * 5), limits)
        if not rows.any():
            raise InfeasibleError(why_infeasible(self.columns, latency_s, limits))
        counts = np.diff(self.start)
        return replace(
            self,
            columns=self.columns[:, rows],
            edge_bits=self.edge_bits[rows],
            start=np.concatenate([[0], np.cumsum(counts[rows])]).astype(self.start.dtype),
            ways=self.ways[np.repeat(rows, counts)],
        )

    def stages(self, link: Link, goal: Goal) -> Stages:
        """What every row costs."""
        edge_s, up_bytes, cloud_s, sent, _, down_bytes = self._views
        if goal.edge_load != 1.0:
            edge_s = edge_s * goal.edge_load
        if goal.cloud_load != 1.0:
            cloud_s = cloud_s * goal.cloud_load
        transfer_s = up_bytes * link.up_byte_s
        latency_s = edge_s + transfer_s
        latency_s += cloud_s
        if link.rtt_s:
            latency_s += sent * link.rtt_s
        if link.download_bps is not None:
            latency_s += down_bytes * link.down_byte_s
        bottleneck_s = np.maximum(edge_s, transfer_s)
        np.maximum(bottleneck_s, cloud_s, out=bottleneck_s)
        return Stages(edge_s, transfer_s, cloud_s, latency_s, bottleneck_s)

    def values(self, stages: Stages, goal: Goal) -> tuple[Floats, Floats]:
        """The objective of every row, and the one that breaks its ties."""
        if goal.objective == "throughput":
            return stages.bottleneck_s, stages.latency_s
        if goal.objective == "energy" and goal.power is not None:
            return stages.edge_s * goal.power.compute_w + stages.transfer_s * goal.power.send_w, stages.latency_s
        return stages.latency_s, stages.bottleneck_s

    def allowed(self, stages: Stages, limits: Limits) -> Bools:
        """Which rows keep all limits."""
        rows = np.ones(len(self), dtype=np.bool_)
        for column, limit in (
            (self.columns[4], limits.edge_param_bytes),
            (self.columns[1], limits.frame_bytes),
            (stages.latency_s, limits.deadline_s),
        ):
            if limit is not None:
                rows &= column <= limit * (1 + TIE)
        return rows

    def row(self, row: int, link: Link, goal: Goal, verdict: Verdict) -> Plan:
        """The plan of one row."""
        known = self._known.get(row)
        if known is None:
            # Remembered, since a controller asks for few rows many times.
            known = self._known[row] = (*self._partition(row), Columns(*self.columns[:, row].tolist()))
        edge, cloud, sent, columns = known
        return assemble(edge, cloud, sent, columns, link=link, loads=goal.loads, verdict=verdict)

    def save(self, path: str | Path) -> None:
        """Writes the frontier to a file that :meth:`load` reads.

        Raises:
            ProblemError: the file cannot be written.
        """
        from dnn_surgery.planning.frontier_file import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Frontier:
        """Reads a file that :meth:`save` wrote.

        Raises:
            ProblemError: the file cannot be read or is no frontier.
        """
        from dnn_surgery.planning.frontier_file import load

        return load(path)

    def _best(self, value: Floats, other: Floats, allowed: Bools | None) -> int:
        """The row of least value; ties by `other`, bytes, number of edge layers, sorted names, codecs."""
        if allowed is not None:
            value = np.where(allowed, value, np.inf)
        row = int(value.argmin())
        rows = (value <= value[row] * (1 + TIE)).nonzero()[0]
        if len(rows) == 1:
            return row
        for column in (other, self.columns[1], self._edge_layers):
            left = column[rows]
            rows = rows[left <= left.min() * (1 + TIE)]
        return int(rows[0]) if len(rows) == 1 else min(rows.tolist(), key=self._name_key)

    @cached_property
    def _edge_layers(self) -> Floats:
        """How many layers each row has at the edge."""
        masks = np.unpackbits(self.edge_bits, axis=1, count=len(self.layers))
        return np.asarray(masks.sum(axis=1), dtype=np.float64)

    def _name_key(self, row: int) -> tuple[list[str], tuple[str, ...]]:
        edge, _, sent = self._partition(row)
        return sorted(edge), tuple(tensor.codec for tensor in sent)

    def _partition(self, row: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Sent, ...]]:
        """Names of a row's layers, and what it sends."""
        inside = np.unpackbits(self.edge_bits[row], count=len(self.layers))
        edge = tuple(itertools.compress(self.layers, inside.tolist()))
        cloud = tuple(itertools.compress(self.layers, (1 - inside).tolist()))
        ways = self.ways[self.start[row] : self.start[row + 1]].tolist()
        sent = tuple(Sent(self.way_tensor[w], whole(self.way_bytes[w]), self.way_codec[w]) for w in ways)
        return edge, cloud, sent

    @cached_property
    def _known(self) -> dict[int, tuple[tuple[str, ...], tuple[str, ...], tuple[Sent, ...], Columns]]:
        return {}

    @cached_property
    def _views(self) -> tuple[Floats, ...]:
        return tuple(self.columns)


def frontier(problem: Problem, *, cap: int = CAP) -> Frontier:
    """The frontier of a problem.

    Raises:
        InfeasibleError: pins contradict each other, or there are more rows than `cap`.
    """
    found = frontier_below(problem, cap)
    if found is None:
        raise InfeasibleError(
            f"{problem.name} has more than {cap} combinations of partitions and codecs: no frontier, plan() solves it"
        )
    return found


def frontier_below(problem: Problem, cap: int = CAP) -> Frontier | None:
    """The frontier, or None where there are more rows than `cap`.

    Raises:
        InfeasibleError: pins contradict each other, or everything is forbidden.
    """
    structure = problem.structure
    if problem.tiers > 2:
        raise InputError(f"{problem.name} has {problem.tiers} tiers: a frontier is of two")
    if structure.rules.conflict:
        raise InfeasibleError(structure.rules.conflict)
    table = build(structure, cap)
    if table is None:
        return None
    if not table.columns.size:
        raise InfeasibleError("every partition is forbidden with every choice of codecs")
    tensors = np.repeat(np.arange(len(structure.tensors)), np.diff(structure.ways.start))
    return Frontier(
        name=problem.name,
        layers=structure.names,
        columns=table.columns,
        edge_bits=table.edge_bits,
        start=table.start,
        ways=table.ways,
        way_tensor=tuple(structure.tensors[t].name for t in tensors),
        way_codec=tuple(codec.name for codec in structure.ways.codecs),
        way_bytes=tuple(codec.size_bytes for codec in structure.ways.codecs),
        partitions=table.cuts,
        combinations=table.combinations,
    )
