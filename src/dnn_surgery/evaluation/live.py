"""Runs a strategy for real - a server, a shaped link, real frames - and says what was seen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.runtime import Edge, NamedInputs
from dnn_surgery.evaluation.strategies import Strategy
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.planning import Plan
from dnn_surgery.protocol.client import InferenceClient

# Frames under way at once when throughput is measured: one in each stage.
IN_FLIGHT = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured: median latency of frames run one by one, frames a second when pipelined, and the answers."""

    latency_s: float
    rate_hz: float
    sent_bytes: float
    results: tuple[FrameResult, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to measure one strategy: about `seconds`; not at all where one frame takes longer than `frame_s`."""

    seconds: float = 1.5
    frame_s: float = 3.0


def build_edge(
    engine: Engine, plan: Plan, client: InferenceClient | None, *, slowdown: float, deadline_s: float = 30.0
) -> Edge:
    """The edge that runs a plan."""
    used = {sent.tensor: sent.codec for sent in plan.sent}
    return Edge(engine, plan.edge, client=client, codecs=used, slowdown=slowdown, deadline_s=deadline_s)


def measure(edge: Edge, frames: Sequence[NamedInputs], strategy: Strategy, budget: Budget) -> Seen | None:
    """Runs frames one by one, then pipelined; None where a frame would take longer than the budget allows."""
    predicted = strategy.plan
    if predicted.latency_s > budget.frame_s:
        return None
    alone = _count(budget.seconds / predicted.latency_s, 2, len(frames))
    single = [edge(frame.tensors, name=frame.name) for frame in frames[:alone]]
    together = _count(budget.seconds / predicted.bottleneck_s, 4, len(frames))
    results, arrivals = [], []
    for result in edge.stream(frames[:together], in_flight=IN_FLIGHT):
        results.append(result)
        arrivals.append(time.perf_counter())
    return Seen(
        latency_s=statistics.median(result.latency_s for result in single),
        rate_hz=(len(arrivals) - 1) / (arrivals[-1] - arrivals[0]),
        sent_bytes=statistics.fmean(result.sent_bytes for result in results),
        results=tuple(single + results),
    )


def is_equal(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    """Whether every output is the same to the bit."""
    return outputs.keys() == expected.keys() and all(np.array_equal(outputs[name], expected[name]) for name in expected)


def _count(wanted: float, least: int, most: int) -> int:
    return max(min(least, most), min(most, int(wanted)))
