"""How many devices one server carries, simulated: the device's own estimator and controller over a recorded link.

    python examples/fleet.py --problem problem.json --trace my.csv --devices 1,10,100

Each device starts at another place of the trace. They meet in the server only: its load is 1 / (1 - the share of time
that they keep one compute thread busy), found by running the fleet again until it stays the same. Queueing for single
frames, a shared uplink and batches are not in it.
"""

import argparse
import random
import statistics
from pathlib import Path

from dnn_surgery import Problem, frontier, plan
from dnn_surgery.edge.controller import Controller, Loads
from dnn_surgery.evaluation.policies import Online
from dnn_surgery.evaluation.scenario import Frame, Scenario
from dnn_surgery.evaluation.simulation import simulate
from dnn_surgery.network.traces import Trace, read_trace
from dnn_surgery.planning import Link

BUSIEST = 0.95
ROUNDS = 8


def run_fleet(problem: Problem, trace: Trace, devices: int, *, rate_hz: float, frames: int, load: float) -> list[Frame]:
    """All answered frames of all devices at one load of the server."""
    table, deadline_s = frontier(problem), plan(problem, Link(1e6), algorithm="edge-only").latency_s
    answered: list[Frame] = []
    for device in range(devices):
        scenario = Scenario(
            problem,
            trace,
            rtt_s=0.04,
            rate_hz=rate_hz,
            frames=frames,
            deadline_s=deadline_s,
            start_s=trace.duration_s * device / devices,
            loads=lambda _: Loads(edge=1.0, cloud=load),
            seed=device,
        )
        decides = Controller(table, deadline_s=deadline_s, rng=random.Random(device))
        answered += simulate(scenario, Online(decides)).answered
    return answered


def settle(problem: Problem, trace: Trace, devices: int, *, rate_hz: float, frames: int) -> tuple[list[Frame], float]:
    """The fleet and the server's load that go together."""
    next_load = 1.0
    for _ in range(ROUNDS):
        load = next_load
        answered = run_fleet(problem, trace, devices, rate_hz=rate_hz, frames=frames, load=load)
        cloud_s = statistics.fmean(
            frame.plan.cloud_s if frame.plan is not None and frame.finished_by == "cloud" else 0.0 for frame in answered
        )
        found = 1 / (1 - min(BUSIEST, devices * rate_hz * cloud_s))
        if abs(found - load) < 0.01 * load:
            break
        next_load = (load * found) ** 0.5  # half way, so that a fleet that leaves a busy server does not swing
    return answered, load


def main() -> None:
    """Prints a line for each size of the fleet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", type=Path, required=True, help="a problem file")
    parser.add_argument("--trace", type=Path, required=True, help="seconds,Mbit/s or Mahimahi")
    parser.add_argument("--devices", default="1,10,100", help="sizes of the fleet")
    parser.add_argument("--rate", type=float, default=0.5, help="frames a second of each device")
    parser.add_argument("--frames", type=int, default=40, help="of each device")
    arguments = parser.parse_args()

    problem, trace = Problem.from_json(arguments.problem.read_text(encoding="utf-8")), read_trace(arguments.trace)
    print("devices   load   mean    p95   by the cloud")
    for devices in map(int, arguments.devices.split(",")):
        answered, load = settle(problem, trace, devices, rate_hz=arguments.rate, frames=arguments.frames)
        seconds = sorted(frame.latency_s for frame in answered)
        share = sum(frame.finished_by == "cloud" for frame in answered) / len(answered)
        p95_s = seconds[int(0.95 * (len(seconds) - 1))]
        print(f"{devices:7} {load:6.2f} {statistics.fmean(seconds):5.2f} s {p95_s:5.2f} s {share:8.0%}", flush=True)


if __name__ == "__main__":
    main()
