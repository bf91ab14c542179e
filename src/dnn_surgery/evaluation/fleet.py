"""Many devices on real links with one server between them, in simulated time: does the fleet settle?

    device: frame -> estimator, controller -> edge -> link (its own piece of a trace) --headers--> room? --> queue
    server: the cloud's own fair queue, estimates and load meter, before `workers` that run one tail each
    reply:  what the frame waited and took, from which the device has its cloud factor

Estimator, controller, load meter, health, queue and the server's load meter are the objects that devices and servers
run, with the clock of the simulation. A refusal comes as soon as the headers are there, with the queue's hint; the
device then finishes its frame. Frames of one device never overlap: one that comes while it is at another is skipped.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dnn_surgery.cloud.estimates import Estimates
from dnn_surgery.cloud.fair_queue import FairQueue, Job
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.load import LoadMeter as ServerLoad
from dnn_surgery.edge.controller import Controller, ControllerSettings
from dnn_surgery.edge.health import Health
from dnn_surgery.edge.loads import QUEUE_PER_HINT, LoadMeter
from dnn_surgery.errors import BusyError, DeadlineError, InputError
from dnn_surgery.evaluation.fleet_device import Device, Frame
from dnn_surgery.evaluation.fleet_run import FleetRun
from dnn_surgery.evaluation.scenario import Costs, costs_of
from dnn_surgery.network.estimator import LinkEstimator
from dnn_surgery.network.traces import Trace
from dnn_surgery.planning import Frontier, Plan, Problem, frontier

PING_BYTES = 64
_FIRST_PINGS, _FIRST_PROBES, _FIRST_PROBE_BYTES = 3, 3, 30_000
_SAMPLE_S = 0.25


@dataclass(frozen=True)
class Fleet:
    """One experiment.

    Args:
        traces: each device takes one, in turn, from a random moment of it on.
        workers: tails that run at once. limits: of the queue before them.
        rate_hz: frames a second of each device, at evenly spread moments.
        deadline_s: after so long without a reply the edge finishes the frame (default: what it takes alone).
        settings: of all controllers; randomised: whether each draws its own reluctance.
        half_life_s: of what a device remembers of the load; failures_count: whether refusals are part of it,
            and whether a device that is refused again and again comes back more seldom; reports: whether replies teach
            it the server's load report, of all devices' requests, in place of what its own frame went through.
        static: so many devices always send, those that gain most from it, and the others never; None: they decide.
        jitter: deviation of the logarithm of compute seconds.
    """

    problem: Problem
    traces: Sequence[Trace]
    devices: int
    workers: int = 4
    rate_hz: float = 1.0
    duration_s: float = 60.0
    rtt_s: float = 0.04
    deadline_s: float | None = None
    settings: ControllerSettings = field(default_factory=ControllerSettings)
    randomised: bool = True
    half_life_s: float = 30.0
    failures_count: bool = True
    reports: bool = False
    limits: ServingLimits = field(default_factory=ServingLimits)
    static: int | None = None
    jitter: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.devices < 1 or self.workers < 1 or not self.traces:
            raise InputError("a fleet needs a device, a worker and a trace")
        if not (self.rate_hz > 0 and self.duration_s > 0 and self.half_life_s > 0):
            raise InputError("a fleet needs a positive rate, duration and half-life")


def simulate_fleet(fleet: Fleet) -> FleetRun:
    """Runs all devices; the same fleet and seed give the same run."""
    return _Simulation(fleet).run()


class _Simulation:
    """The state between two events."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.now_s = fleet, 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._random = itertools.count(), random.Random(fleet.seed)
        self._known: dict[Hashable, Costs] = {}
        table = frontier(fleet.problem)
        self._local_s = float(table.columns[0][table.columns[3] == 0].min(initial=math.inf))
        self._deadline_s = self._local_s if fleet.deadline_s is None else fleet.deadline_s
        if not math.isfinite(self._deadline_s):
            raise InputError(f"{fleet.problem.name}: the edge cannot do a frame alone, so a fleet needs a deadline")
        self._queue = FairQueue[Frame](max_jobs=fleet.limits.queued, max_bytes=fleet.limits.held_bytes)
        self._estimates = Estimates(lambda key: self._known[key].cloud_s)
        self._load = ServerLoad(clock=lambda: self.now_s)
        self._idle = fleet.workers
        self._devices = self._make_devices(table)
        self._run = FleetRun(fleet.devices, _SAMPLE_S)

    def run(self) -> FleetRun:
        for device in self._devices:
            self._connect(device)
            first_s = device.rng.random() / self.fleet.rate_hz
            self._at(first_s, partial(self._arrive, device))
        self._at(0.0, self._sample)
        while self._events and self._events[0][0] <= self.fleet.duration_s:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        return self._run

    def _make_devices(self, table: Frontier) -> list[Device]:
        fleet = self.fleet
        devices = []
        for number in range(fleet.devices):
            rng = random.Random(self._random.random())
            trace = fleet.traces[number % len(fleet.traces)]
            controller = Controller(
                table,
                deadline_s=self._deadline_s,
                settings=fleet.settings,
                rng=random.Random(rng.random()) if fleet.randomised else None,
            )
            offset_s = rng.uniform(0.0, trace.duration_s)
            health = Health(rng=rng)
            if not fleet.failures_count:
                # No longer than the hint says.
                health.longest_trial_s = health.first_trial_s
            believes = (LinkEstimator(), LoadMeter(half_life_s=fleet.half_life_s), health)
            devices.append(Device(str(number), trace, offset_s, rng, controller, *believes))
        if fleet.static is not None:
            from dnn_surgery.evaluation.fleet_static import assign

            plans = assign(table, [device.trace for device in devices], fleet.static, fleet.rtt_s)
            for device, plan in zip(devices, plans, strict=True):
                device.fixed = plan
        return devices

    def _at(self, when_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), happen))

    def _sample(self) -> None:
        self._run.states.append(np.array([device.sends for device in self._devices]))
        self._at(self.now_s + _SAMPLE_S, self._sample)

    def _connect(self, device: Device) -> None:
        """Pings and probes, all before the first frame."""
        for _ in range(_FIRST_PINGS):
            device.estimator.ping(device.upload(0.0, PING_BYTES) + self.fleet.rtt_s, 0.0)
        for number in range(_FIRST_PROBES):
            seconds = device.upload(0.0, _FIRST_PROBE_BYTES * (number + 1)) - device.upload(0.0, 30_000.0 * number)
            device.estimator.transfer(_FIRST_PROBE_BYTES, seconds + self.fleet.rtt_s, 0.0)

    def _arrive(self, device: Device) -> None:
        self._at(self.now_s + 1 / self.fleet.rate_hz, lambda: self._arrive(device))
        if device.busy:
            self._run.skipped += 1
            return
        device.busy = True
        plan = device.fixed or self._decide(device)
        key = (plan.edge, tuple((sent.tensor, sent.codec) for sent in plan.sent))
        if key not in self._known:
            self._known[key] = costs_of(self.fleet.problem, *key)
        frame = Frame(device, self._known[key], key, self.now_s)
        device.sends = bool(plan.sent) and self._may_try(device)
        self._at(self.now_s + frame.costs.edge_s * self._noise(), lambda: self._edge_done(frame))

    def _may_try(self, device: Device) -> bool:
        """Whether the device sends. Where it was refused a ping comes first; here every ping is answered."""
        if device.fixed is not None:
            return True
        if device.health.lost and device.health.until_ping_s(self.now_s) <= 0:
            device.health.pinged(True, self.now_s)
        return not device.health.lost

    def _decide(self, device: Device) -> Plan:
        loads = device.meter.now(self.now_s)
        decision = device.controller.decide(self.now_s, device.estimator.belief(self.now_s), loads)
        if decision.probe and not decision.plan.sent:
            size_bytes = device.estimator.probe_bytes(self.now_s)
            seconds = device.upload(self.now_s, size_bytes) - self.now_s
            self._listen(device, size_bytes, seconds, self.now_s + seconds + self.fleet.rtt_s)
        return decision.plan

    def _listen(self, device: Device, size_bytes: float, seconds: float, when_s: float) -> None:
        idle_s, device.link_used_s = self.now_s - device.link_used_s, self.now_s + seconds
        total_s = seconds + self.fleet.rtt_s
        self._at(when_s, lambda: device.estimator.transfer(size_bytes, total_s, self.now_s, idle_s=max(0.0, idle_s)))

    def _edge_done(self, frame: Frame) -> None:
        if not frame.costs.up_bytes:
            self._finish(frame, "edge")
        elif not frame.device.sends:
            self._finish_locally(frame)
        else:
            frame.sending_s = self.now_s
            frame.idle_s = max(0.0, self.now_s - frame.device.link_used_s)
            frame.sent_s = frame.device.link_used_s = frame.device.upload(self.now_s, frame.costs.up_bytes)
            self._at(self.now_s + self.fleet.rtt_s / 2, lambda: self._headers(frame))
            self._at(self.now_s + self._deadline_s, lambda: self._give_up(frame))

    def _headers(self, frame: Frame) -> None:
        """What the server does before it reads a body."""
        try:
            self._queue.check_room(frame.device.name)
        except BusyError as error:
            self._refuse(frame, error)
        else:
            self._at(frame.sent_s + self.fleet.rtt_s / 2, lambda: self._queued(frame))

    def _queued(self, frame: Frame) -> None:
        if not frame.open:
            return
        # The queue reckons for one worker; with several, what waits is done so many times sooner.
        expected_s = self._estimates.expected_s(frame.key, self.now_s)
        cost_s = expected_s / self.fleet.workers
        deadline_s = frame.sending_s + self._deadline_s - self.fleet.rtt_s / 2 - (expected_s - cost_s)
        job = frame.job = Job(frame.device.name, frame, self.now_s, cost_s, int(frame.costs.up_bytes), deadline_s)
        try:
            gone = self._queue.put(job, self.now_s)
        except BusyError as error:
            self._refuse(frame, error)
            return
        for other in gone:
            self._refuse(other.work, BusyError("others have fewer", retry_after_s=self._queue.hint_s()))
        self._work()

    def _work(self) -> None:
        while self._idle and len(self._queue):
            job, late = self._queue.pop(self.now_s)
            for other in late:
                self._refuse(other.work, BusyError("too late", retry_after_s=self._queue.hint_s()))
            if job is None:
                return
            self._idle -= 1
            seconds = job.work.costs.cloud_s * self._noise()
            self._at(self.now_s + seconds, partial(self._worked, job, seconds))

    def _worked(self, job: Job[Frame], seconds: float) -> None:
        self._idle += 1
        frame = job.work
        self._estimates.record(frame.key, seconds, self.now_s)
        there_s = self.now_s - job.arrived_s
        load = self._load.record(queue_s=there_s - seconds, compute_s=seconds) * self._estimates.slowdown
        self._run.loads.append((self.now_s, load))
        took_s = load * frame.costs.cloud_s if self.fleet.reports else there_s
        self._at(self.now_s + self.fleet.rtt_s / 2, lambda: self._reply(frame, took_s))
        self._work()

    def _reply(self, frame: Frame, took_s: float) -> None:
        device = frame.device
        if not frame.open:
            return
        device.health.worked()
        device.meter.cloud_took(frame.costs.cloud_s, took_s, self.now_s)
        seconds = frame.sent_s - frame.sending_s + self.fleet.rtt_s
        device.estimator.transfer(frame.costs.up_bytes, seconds, self.now_s, idle_s=frame.idle_s)
        self._finish(frame, "cloud")

    def _refuse(self, frame: Frame, error: BusyError) -> None:
        """The word of it travels back; then the edge finishes the frame."""
        self._run.refused += 1

        def told() -> None:
            if frame.open:
                device, cloud_s = frame.device, frame.costs.cloud_s
                device.health.failed(error, self.now_s)
                if self.fleet.failures_count:
                    device.meter.cloud_failed(cloud_s, cloud_s + QUEUE_PER_HINT * error.retry_after_s, self.now_s)
                device.link_used_s = min(device.link_used_s, self.now_s)
                self._finish_locally(frame)

        self._at(self.now_s + self.fleet.rtt_s / 2, told)

    def _give_up(self, frame: Frame) -> None:
        if not frame.open:
            return
        if frame.job is not None:
            self._queue.remove(frame.job)
        seconds = min(self.now_s, frame.sent_s) - frame.sending_s
        frame.device.link_used_s = min(frame.device.link_used_s, self.now_s)
        frame.device.estimator.failed(self.now_s, size_bytes=frame.costs.up_bytes, seconds=seconds)
        frame.device.health.failed(DeadlineError("late"), self.now_s)
        self._run.late += 1
        self._finish_locally(frame)

    def _finish_locally(self, frame: Frame) -> None:
        frame.open = False
        self._at(self.now_s + frame.costs.local_s * self._noise(), lambda: self._finish(frame, "local"))

    def _finish(self, frame: Frame, by: str) -> None:
        frame.open, frame.device.busy = False, False
        self._run.add(frame.arrived_s, self.now_s - frame.arrived_s, by)
        device = frame.device
        if device.fixed is None and device.estimator.wants_ping(self.now_s):
            seconds = device.upload(self.now_s, PING_BYTES) - self.now_s + self.fleet.rtt_s
            self._at(self.now_s + seconds, lambda: device.estimator.ping(seconds, self.now_s))

    def _noise(self) -> float:
        return math.exp(self._random.gauss(0.0, self.fleet.jitter)) if self.fleet.jitter else 1.0
