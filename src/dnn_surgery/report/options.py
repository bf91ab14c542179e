"""What one could do with a frame, out of a frontier: stay local, upload the input, or split at one of many cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnn_surgery.planning import Frontier, Goal, Link, Plan, Problem
from dnn_surgery.planning.explain import Kind, kind_of, title_of
from dnn_surgery.planning.score import Verdict

Floats = npt.NDArray[np.float64]

KINDS: tuple[Kind, ...] = ("local", "upload", "split")

# More rows than a page or a picture can use: above it only rows that win somewhere are kept.
MOST_ROWS = 1500

_ANY_LINK, _ANY_GOAL = Link(1e6), Goal()


@dataclass(frozen=True, eq=False)
class Options:
    """Rows of a frontier with what they are called.

    `edge_s`, `up_bytes`, `cloud_s`, `sent` and `down_bytes` [rows] are the frontier's columns; `kind` [rows] counts in
    `KINDS`. `plans` holds each row's partition and codecs (its costs are those of no link in particular).
    """

    name: str
    layers: tuple[str, ...]
    edge_s: Floats
    up_bytes: Floats
    cloud_s: Floats
    sent: Floats
    down_bytes: Floats
    kind: npt.NDArray[np.intp]
    titles: tuple[str, ...]
    plans: tuple[Plan, ...]

    def __len__(self) -> int:
        return len(self.titles)

    @property
    def depth(self) -> npt.NDArray[np.intp]:
        """How many layers each row has at the edge."""
        return np.array([len(plan.edge) for plan in self.plans], dtype=np.intp)

    def latency_s(self, bandwidth_bps: Floats | float, rtt_s: float, slowdown: Floats | float = 1.0) -> Floats:
        """Latency of every row [..., rows]; the arrays given are broadcast against the rows."""
        up_s = self.up_bytes * 8 / np.asarray(bandwidth_bps)[..., None]
        latency_s: Floats = np.asarray(slowdown)[..., None] * self.edge_s + up_s + self.cloud_s + self.sent * rtt_s
        return latency_s

    def bottleneck_s(self, bandwidth_bps: Floats | float, slowdown: Floats | float = 1.0) -> Floats:
        """The slowest stage of every row [..., rows], likewise."""
        up_s = self.up_bytes * 8 / np.asarray(bandwidth_bps)[..., None]
        slowest: Floats = np.maximum(np.maximum(np.asarray(slowdown)[..., None] * self.edge_s, up_s), self.cloud_s)
        return slowest


def options(problem: Problem, table: Frontier, *, most: int = MOST_ROWS) -> Options:
    """The frontier's rows as options; of more than `most` those that are the best for some link and slow-down."""
    inputs = {layer.name for layer in problem.layers if not layer.inputs}
    every = np.arange(len(table))
    rows = every if len(table) <= most else _winners(table)
    verdict = Verdict("latency", "exact")
    plans = tuple(table.row(int(row), _ANY_LINK, _ANY_GOAL, verdict) for row in rows)
    kinds = [kind_of(plan, inputs) for plan in plans]
    columns = table.columns[:, rows]
    return Options(
        name=table.name,
        layers=table.layers,
        edge_s=columns[0],
        up_bytes=columns[1],
        cloud_s=columns[2],
        sent=columns[3],
        down_bytes=columns[5],
        kind=np.array([KINDS.index(kind) for kind in kinds], dtype=np.intp),
        titles=tuple(title_of(plan, kind) for plan, kind in zip(plans, kinds, strict=True)),
        plans=plans,
    )


def _winners(table: Frontier) -> npt.NDArray[np.intp]:
    """Rows that are best at some point of a grid, by either objective, and all that send nothing or compute nothing.

    The round trip is the same for all rows that send, so the grid needs none.
    """
    edge_s, up_bytes, cloud_s, sent = table.columns[:4]
    kept = set(np.flatnonzero(sent == 0).tolist())
    depth = np.unpackbits(table.edge_bits, axis=1, count=len(table.layers)).sum(axis=1)
    kept.update(np.flatnonzero(depth == depth.min()).tolist())
    sending = np.flatnonzero(sent > 0)
    for byte_s in 8 / np.geomspace(2e4, 1e9, 60):
        up_s = up_bytes[sending] * byte_s
        for slowdown in np.geomspace(0.1, 50, 16):
            for load in np.geomspace(1, 20, 5):
                stages = (slowdown * edge_s[sending], up_s, load * cloud_s[sending])
                kept.add(int(sending[np.argmin(stages[0] + stages[1] + stages[2])]))
                kept.add(int(sending[np.argmin(np.maximum(np.maximum(stages[0], stages[1]), stages[2]))]))
    return np.array(sorted(kept), dtype=np.intp)
