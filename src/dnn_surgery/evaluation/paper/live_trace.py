"""A recorded link live and simulated: the same device, server, frames and trace, as processes and in made-up time.

Both begin where the live run's first frame met the trace.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dnn_surgery.calibration.calibrate import calibrated
from dnn_surgery.calibration.cut_times import measure_cuts
from dnn_surgery.calibration.cuts import candidate_cuts
from dnn_surgery.edge.controller import Controller
from dnn_surgery.edge.health import Health
from dnn_surgery.errors import DeadlineError
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.live_run import Record, run_edge, write_frames
from dnn_surgery.evaluation.pictures import picture_of
from dnn_surgery.evaluation.policies import Fixed, Online
from dnn_surgery.evaluation.regret import Experiment
from dnn_surgery.evaluation.scenario import Choice, Frame, Policy, Scenario, Status
from dnn_surgery.evaluation.simulation import simulate
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import cut_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.network.traces import read_trace
from dnn_surgery.planning import Link, Plan, Problem
from dnn_surgery.profiling.measure import profile

RTT_S = 0.04
SEEDS = 8

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OverTrace:
    """Latencies over a trace in seconds, from begin to answer, and how many frames took which cut.

    `first_s` is where in the trace the first frame was taken. The simulated latencies are of all of :data:`SEEDS` draws
    of the controller's reluctance, one after the other.
    """

    network: str
    trace: str
    policy: str
    live_s: tuple[float, ...]
    simulated_s: tuple[float, ...]
    live_cuts: Mapping[str, int]
    simulated_cuts: Mapping[str, float]
    first_s: float = 0.0

    @property
    def mean_ratio(self) -> float:
        """Mean latency, live over simulated."""
        return float(np.mean(self.live_s) / np.mean(self.simulated_s))


class Careful:
    """A policy with the device's :class:`Health`: after a late reply frames stay here until the server is tried again.

    The run time keeps to this whoever decides; a ping at the end of the wait is taken as answered.
    """

    def __init__(self, policy: Policy, stay: Plan) -> None:
        self._policy, self._stay, self._health = policy, Choice(stay), Health()

    def choose(self, status: Status) -> Choice:
        """The policy's choice, or to stay."""
        if self._health.until_ping_s(status.now_s) <= 0:
            self._health.pinged(True, status.now_s)
        return self._stay if self._health.lost else self._policy.choose(status)

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:
        """No reply in time."""
        self._health.failed(DeadlineError("no reply in time"), now_s)
        self._policy.failed(now_s, size_bytes=size_bytes, seconds=seconds)

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:
        """A reply, or a probe's."""
        self._health.worked()
        self._policy.transfer(size_bytes, seconds, now_s, idle_s=idle_s)

    def probe_bytes(self, now_s: float) -> int:
        """As the policy says."""
        return self._policy.probe_bytes(now_s)

    def is_puzzled(self) -> bool:
        """As the policy says."""
        return self._policy.is_puzzled()

    def ping(self, seconds: float, now_s: float) -> None:
        """To the policy."""
        self._policy.ping(seconds, now_s)

    def wants_ping(self, now_s: float) -> bool:
        """As the policy wishes."""
        return self._policy.wants_ping(now_s)


def run_over_trace(
    network: str, trace: Path, folder: Path, report: Report, *, edge_slowdown: float, longest_s: float = 150.0
) -> Iterator[OverTrace]:
    """The controller, and the picture uploaded whatever the link does, for one round of the trace or `longest_s`.

    Raises:
        UnreachableError: the cloud does not come up. NetworkError: a run fails.
        InputError: the trace cannot be read.
    """
    carried = read_trace(trace)
    report(f"{network}: profiling")
    graph = load_model(network)
    engine = make_engine(graph, threads=1)
    here = profile(graph, engine=engine)
    cuts = candidate_cuts(graph, Problem.from_profiles(here, here, edge_slowdown))
    here = calibrated(here, measure_cuts(engine, cuts, repeats=5, warmup=1))
    path = folder / f"{network}-trace.json"
    here.save(path)
    problem = Problem.from_profiles(here, here, edge_slowdown)
    experiment = Experiment.over(problem, carried, trace.stem, rtt_s=RTT_S)
    frames = int(min(carried.duration_s, longest_s) * experiment.rate_hz)
    source = write_frames(picture_of(graph), folder / "trace-frames", frames)
    picture = graph.inputs[0]
    for policy, cut in (("controller", None), ("upload", picture)):
        report(f"{network} over {trace.stem}, {policy}: {frames} frames, {experiment.rate_hz:.3g} a second")
        flags = ["--raw", "--profile", str(path), "--emulate-slowdown", str(edge_slowdown), "--frames", str(frames)]
        flags += ["--rate", str(experiment.rate_hz), "--deadline", f"{experiment.deadline_s}s"]
        flags += [] if cut is None else ["--cut", cut]
        began: list[float] = []
        with (
            CloudProcess(network, options=["--profile", str(path)]) as cloud,
            ShapedLink(cloud.address, trace=trace, delay_s=RTT_S / 2) as link,
        ):

            def note(record: Record, link: ShapedLink = link, began: list[float] = began) -> None:
                if not began:
                    began.append((link.state().elapsed_s or 0.0) - float(record["latency_s"]))

            run = run_edge(network, source, server=link.address, options=flags, on_frame=note)
        scenario = replace(experiment.scenarios[0], frames=len(run.frames) + int(sum(run.receipt["skipped"].values())))
        played: list[Frame] = []
        for seed in range(SEEDS if cut is None else 1):
            played += _simulated(scenario, began[0], partial(_policy, experiment, policy, picture, seed))
        yield OverTrace(
            network,
            trace.stem,
            policy,
            tuple(float(record["latency_s"]) for record in run.frames),
            tuple(frame.done_s - frame.begun_s for frame in played),
            Counter(str(record["cut"]) for record in run.frames),
            _shares(graph, played, len(run.frames)),
            began[0],
        )


def _policy(experiment: Experiment, name: str, picture: str, seed: int) -> Policy:
    everything = [layer.name for layer in experiment.problem.layers]
    stay = experiment.problem.cost(edge=everything, link=Link(1e6))
    if name == "upload":
        return Careful(Fixed(experiment.problem.cost(edge=[picture], link=Link(1e6))), stay)
    controller = Controller(experiment.frontier, deadline_s=experiment.deadline_s, rng=random.Random(seed))
    return Careful(Online(controller), stay)


def _simulated(scenario: Scenario, first_s: float, make: Callable[[], Policy]) -> tuple[Frame, ...]:
    """The frames of a simulation whose first one arrives at `first_s`: connecting takes a while before it."""
    connected_s = simulate(replace(scenario, start_s=first_s, frames=1), make()).frames[0].arrived_s
    start_s = max(0.0, first_s - (connected_s - first_s))
    return simulate(replace(scenario, start_s=start_s), make()).answered


def _shares(graph: ModelGraph, frames: list[Frame], count: int) -> dict[str, float]:
    """How many of `count` frames took each cut."""
    cuts = Counter(cut_name(graph, frame.plan.edge) for frame in frames if frame.plan is not None)
    return {name: number * count / len(frames) for name, number in cuts.items()}
