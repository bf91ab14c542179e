"""The paper's experiment live: real processes over a shaped link, beside the same frames in simulated time.

    profile, cuts of all strategies -> each cut: head and tail measured -> simulated
                                                                        -> `run` --link--> `serve`

Every cut is run twice: frames one by one (latency), and offered 20 times a second with all stages busy (throughput).
The simulation is given what the cut's head and tail took here before, between and after the two runs (`simulated`); and
once more what edge and cloud took in these very runs (`replayed`). Where the first differs and the second does not, the
machine was another one meanwhile; where both do, the model of the pipeline is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dnn_surgery.calibration.calibrate import calibrate
from dnn_surgery.calibration.cut_times import CutTimes, measure_cuts
from dnn_surgery.errors import ModelError
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.live_run import LiveRun, run_edge, write_frames
from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.paper.experiments import outcomes
from dnn_surgery.evaluation.paper.live_timing import LiveCut, Timing, as_seen, median_of, pace, simulated, warm_up
from dnn_surgery.evaluation.paper.setups import Basis, Setup, link_of
from dnn_surgery.evaluation.pictures import picture_of
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.planning import Link, Plan, Problem
from dnn_surgery.profiling.measure import profile

NETWORKS = ("resnet18", "vgg16")
STRATEGIES = ("edge-only", "cloud-only", "neurosurgeon", "dads", "exact")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long one cut may be measured, about: `seconds` alone and as many together, within these numbers of frames."""

    seconds: float = 8.0
    alone: tuple[int, int] = (1, 10)
    together: tuple[int, int] = (2, 40)

    def counts(self, plan: Plan) -> tuple[int, int]:
        """Frames to run one by one, and together."""
        alone, together = self.seconds / plan.latency_s, self.seconds / plan.bottleneck_s
        return _within(alone, self.alone), _within(together, self.together)


def run_live(
    networks: Sequence[str],
    folder: Path,
    report: Report,
    *,
    edge_slowdown: float,
    links: Sequence[str] = tuple(published.UPLINK_MBPS),
    effort: Effort = Effort(),
) -> Iterator[LiveCut]:
    """Runs every cut that a strategy chooses on one of the links, light or heavy; keeps profiles in `folder`.

    Raises:
        UnreachableError: a cloud does not come up. NetworkError: a run fails.
        SourceError: the pictures are not installed.
    """
    for network in networks:
        report(f"{network}: profiling")
        graph = load_model(network)
        engine = make_engine(graph, threads=1)
        path = folder / f"{network}-live.json"
        here = profile(graph, engine=engine)
        here.save(path)
        setup = Basis({network: here}, {}).measured(edge_slowdown)
        frames = write_frames(picture_of(graph), folder / "frames", max(effort.alone[1], effort.together[1]))
        with CloudProcess(network, options=["--profile", str(path)]) as cloud, ShapedLink(cloud.address) as link:
            stand = _Stand(graph, engine, setup, path, frames, link, edge_slowdown, effort, report)
            yield from _each_cut(stand, links)


@dataclass(frozen=True)
class _Stand:
    """All that a cut is run with."""

    graph: ModelGraph
    engine: Engine
    setup: Setup
    profile: Path
    frames: Path
    link: ShapedLink
    edge_slowdown: float
    effort: Effort
    report: Report

    @property
    def problem(self) -> Problem:
        return self.setup.problems[self.graph.name]

    def run(self, edge: Sequence[str], rate_bps: float, plan: Plan, *, frames: int, in_flight: int) -> LiveRun:
        """`dnn-surgery run` over the link, with the cut forced and tensors sent as they are."""
        options = {
            "cut": cut_layer(self.graph, edge),
            "profile": self.profile,
            "emulate-slowdown": self.edge_slowdown,
            "bandwidth": f"{rate_bps}bit/s",
            "deadline": f"{30 + 10 * in_flight * plan.latency_s}s",
            "frames": frames,
            "in-flight": in_flight,
            "rate": published.HEAVY_HZ,
            "overload": "block",
        }
        flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        return run_edge(self.graph.name, self.frames, server=self.link.address, options=["--raw", *flags])


def chosen_cuts(setup: Setup, network: str, link: str) -> dict[tuple[str, ...], list[tuple[str, float, str, Plan]]]:
    """The cuts that strategies choose on a link, each with strategy, rate, name and plan of those who do."""
    found: dict[tuple[str, ...], list[tuple[str, float, str, Plan]]] = {}
    for rate_hz in (published.LIGHT_HZ, published.HEAVY_HZ):
        for one in outcomes(setup, network, link, link_of(link), rate_hz, strategies=STRATEGIES):
            found.setdefault(one.plan.edge, []).append((one.strategy, rate_hz, one.cut, one.plan))
    return found


def _each_cut(stand: _Stand, links: Sequence[str]) -> Iterator[LiveCut]:
    """Each cut of each link; what sends nothing is the same on every link, and run once."""
    network = stand.graph.name
    kept: LiveCut | None = None
    for name in links:
        for edge, uses in chosen_cuts(stand.setup, network, name).items():
            _, _, title, plan = uses[0]
            who = tuple((strategy, rate_hz) for strategy, rate_hz, _, _ in uses)
            if not plan.sent and kept is not None:
                yield replace(kept, link=name, uses=who)
                continue
            alone, together = stand.effort.counts(plan)
            stand.report(f"{network}, {name}: {title}: {alone} frames one by one, then {together}")
            found = _run_cut(stand, name, edge, plan, alone=alone, together=together)
            cut = LiveCut(network, name, title, who, *found)
            kept = cut if not plan.sent else kept
            yield cut


def _run_cut(
    stand: _Stand, name: str, edge: tuple[str, ...], plan: Plan, *, alone: int, together: int
) -> tuple[Timing, Timing, Timing, int, int, tuple[float, float]]:
    """Simulated, replayed, live, how many frames, and bytes planned and sent."""
    rate_bps = link_of(name).bandwidth_bps
    in_flight = math.ceil(plan.latency_s / plan.bottleneck_s) + 2
    stand.link.set_rate(up_bps=rate_bps)
    times = [_measured(stand, edge, plan)]
    one = stand.run(edge, rate_bps, plan, frames=alone, in_flight=1)
    times.append(_measured(stand, edge, plan))
    many = stand.run(edge, rate_bps, plan, frames=together, in_flight=in_flight)
    times.append(_measured(stand, edge, plan))

    def simulation(cut: CutTimes) -> Timing:
        problem = calibrate(stand.problem, edge=[cut], cloud=[cut])
        return simulated(problem, edge, rate_bps, stand.edge_slowdown, frames=together, in_flight=in_flight)

    replayed = [simulation(as_seen(times[0], run, stand.edge_slowdown)) for run in (one, many)]
    skip = warm_up(alone)
    edge_s, transfer_s, cloud_s, latency_s = (
        one.median(key, skip) for key in ("edge_s", "transfer_s", "cloud_s", "latency_s")
    )
    return (
        simulation(median_of(times)),
        replace(replayed[0], rate_hz=replayed[1].rate_hz),
        Timing(edge_s, transfer_s, cloud_s, latency_s, pace(many.came_s)),
        alone - skip,
        together,
        (stand.problem.cost(edge=edge, link=Link(rate_bps)).sent_bytes, one.median("sent_bytes")),
    )


def _measured(stand: _Stand, edge: tuple[str, ...], plan: Plan) -> CutTimes:
    """For a second or two: a shorter look would be of one mood of the machine."""
    seconds = plan.edge_s / stand.edge_slowdown + plan.cloud_s
    (times,) = measure_cuts(stand.engine, [edge], repeats=_within(1.5 / seconds, (3, 20)), warmup=1)
    return times


def cut_layer(graph: ModelGraph, edge: Sequence[str]) -> str:
    """The layer that `--cut` names this cut by.

    Raises:
        ModelError: it ends in several branches, so that no single layer does.
    """
    for name in reversed(edge):
        if set(graph.edge_layers(name)) == set(edge):
            return name
    raise ModelError(
        f"no single layer of {graph.name} stands for the cut after {edge[-1]}: it ends in several branches"
    )


def _within(count: float, limits: tuple[int, int]) -> int:
    return max(limits[0], min(limits[1], round(count)))
