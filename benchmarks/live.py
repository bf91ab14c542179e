"""The live run time over a shaped link: throughput against its bottleneck, recovery, the cost of deciding.

Edge, link and cloud share this machine's cores, so the stages slow each other down: the bottleneck is the largest mean
of the stages as measured in the very run, not as predicted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.figure import Figure, quartile_range
from dnn_surgery.edge.connection import connect
from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.shaping import ShapedLink

MODEL = "efficientnet_lite0"
RTT_S = 0.04
# (megabits a second, cut, slow-down of the edge): the link is the bottleneck, the same with uploads shorter than the
# round trip, and the edge is.
STAGES = ((5.85, "blocks.5.project", 1.0), (20.0, "blocks.5.project", 1.0), (20.0, "blocks.11.project", 8.0))
FRAMES, WARMUP = 40, 10
ROUNDS = 3


def run() -> list[Figure]:
    """Figures with their goals."""
    graph = load_model(MODEL)
    if graph.picture is None:
        raise ValueError(f"{MODEL} takes no pictures")
    engine = make_engine(graph, threads=1)
    pictures = [fit(read_picture(found.path), graph.picture) for found in labelled_pictures()]
    inputs = [NamedInputs(str(index), {graph.inputs[0]: pixels}) for index, pixels in enumerate(pictures)]
    figures: list[Figure] = []
    with CloudProcess(MODEL) as cloud:
        for stage in STAGES:
            figures += _throughput(engine, cloud.address, inputs, stage)
        figures.append(_decision(engine, cloud.address, inputs))
    figures += _recovery(engine, inputs)
    return figures


def _throughput(
    engine: Engine, address: str, inputs: list[NamedInputs], stage: tuple[float, str, float]
) -> Iterator[Figure]:
    """Frames a second over 1 / the largest of the means of the three stages, each as measured in the run."""
    megabits, cut, slowdown = stage
    shares, bottlenecks_s = [], []
    for _ in range(ROUNDS):
        with (
            ShapedLink(address, up_bps=megabits * 1e6, delay_s=RTT_S / 2) as link,
            connect(engine.graph, link.address, engine=engine, cut=cut, slowdown=slowdown) as edge,
        ):
            results = list(edge.stream(_endless(inputs, FRAMES)))
        kept = results[WARMUP:]
        seconds = kept[-1].times.answered_s - results[WARMUP - 1].times.answered_s
        bottleneck_s = max(
            statistics.fmean(result.edge_s for result in kept),
            8 * statistics.fmean(result.sent_bytes for result in kept) / (megabits * 1e6),
            statistics.fmean(result.compute_s for result in kept),
        )
        shares.append(len(kept) / seconds * bottleneck_s)
        bottlenecks_s.append(bottleneck_s)
    name = f"{megabits:g} Mbit/s, cut {cut}: throughput times bottleneck"
    yield Figure(name, statistics.median(shares), at_least=0.95, spread=quartile_range(shares))
    yield Figure(f"{megabits:g} Mbit/s, cut {cut}: bottleneck", 1e3 * statistics.median(bottlenecks_s), "ms")


def _decision(engine: Engine, address: str, inputs: list[NamedInputs]) -> Figure:
    """Deciding, as a share of what a frame takes at its bottleneck."""
    with (
        ShapedLink(address, up_bps=5.85e6, delay_s=RTT_S / 2) as link,
        connect(engine.graph, link.address, engine=engine, slowdown=8.0) as edge,
    ):
        results = list(edge.stream(_endless(inputs, 40)))
        decided_s = edge.follower.decided_s / edge.follower.decisions
    seconds = (results[-1].times.answered_s - results[WARMUP].times.answered_s) / (len(results) - 1 - WARMUP)
    return Figure("deciding about a frame, of the time a frame takes", 100 * decided_s / seconds, "%", at_most=1.0)


def _recovery(engine: Engine, inputs: list[NamedInputs]) -> Iterator[Figure]:
    """What is seen of a server that is killed and, a while later, started again."""
    with CloudProcess(MODEL) as first, ShapedLink(first.address, up_bps=20e6, delay_s=RTT_S / 2) as link:
        port = int(first.address.rpartition(":")[2])
        with connect(engine.graph, link.address, engine=engine, cut="blocks.11.project", slowdown=2.0) as edge:
            results = edge.stream(_endless(inputs, 10_000))
            _first(results, lambda result: result.index >= WARMUP and result.finished_by == "cloud")
            first.kill()
            killed_s = time.perf_counter()
            after = []
            for result in results:
                after.append(result)
                if result.cut == "edge" and result.index > 3 * WARMUP:
                    break
            with CloudProcess(MODEL, port=port):
                back_s = time.perf_counter()
                again = _first(results, lambda result: result.finished_by == "cloud")
                results.close()
    answered_s = min(result.times.answered_s for result in after if result.times.answered_s > killed_s)
    begun = sum(result.times.edge_start_s > killed_s and result.cut != "edge" for result in after)
    yield Figure("frames begun for a server that has died", begun, "frames", at_most=1)
    gap = (answered_s - killed_s) / after[-1].edge_s
    yield Figure("until the next answer when the server dies, in frames computed here", gap)
    yield Figure("until a server that is back answers a frame", again.times.answered_s - back_s, "s", at_most=2.0)


def _first(results: Iterator[FrameResult], holds: Callable[[FrameResult], bool]) -> FrameResult:
    return next(result for result in results if holds(result))


def _endless(inputs: list[NamedInputs], count: int) -> Iterator[NamedInputs]:
    for index in range(count):
        yield inputs[index % len(inputs)]
