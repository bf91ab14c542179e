"""Mean latency over the four mobile traces: the controller beside the best causal policy, the baselines and the oracle.

Simulated: real traces and networks measured once (src/dnn_surgery/evaluation/problems, written by `python -m
benchmarks.trace_problems`; the edge is emulated), each with its jpeg and with the picture kept on the device. `tuned`
is the best in hindsight, on that very trace, of a grid of moving averages and of every constant plan. `best plain` is
the best of edge-only, cloud-only jpeg, static best (at the trace's median second) and Neurosurgeon. `past for free` is
a rule that knows the link's whole past without asking (`evaluation.neighbours`): what can be had without foresight.
Seconds in which nothing can leave are apart. What the oracle knows: `evaluation.policies`.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from benchmarks.figure import Figure
from dnn_surgery.edge.controller import Controller
from dnn_surgery.evaluation.contenders import CONTROLLER, ORACLE, contenders, keep_inputs, tuned
from dnn_surgery.evaluation.neighbours import best_neighbours
from dnn_surgery.evaluation.regret import Experiment, Outcomes, play_all
from dnn_surgery.network.estimator import LinkEstimator
from dnn_surgery.network.traces import Trace, read_trace
from dnn_surgery.planning import Problem

TRACES = Path(__file__).parents[2] / "shared" / "traces"
RTT_S, LONGEST_S = 0.04, 300.0
PLAIN = ("edge-only", "cloud-only", "static-best", "neurosurgeon")
TUNED, PAST = "tuned", "past for free"
BEHIND = ": behind best plain"
AHEAD = {name: f": {name} ahead of best plain" for name in (ORACLE, TUNED, PAST)}
LEAD = 1.0
"""A lead counts from so many per cent on."""


def run() -> list[Figure]:
    """All networks on all traces, the worst of each figure, and the time of a decision."""
    found = [of_experiment(experiment) for experiment in experiments()]
    figures = [figure for one in found for figure in one]
    for goal, limit in (("behind tuned", 5.0), ("behind best plain", 2.0)):
        values = [figure.value for figure in figures if figure.name.endswith(goal)]
        figures.append(Figure(f"median: {goal}", statistics.median(values), "%"))
        figures.append(Figure(f"worst: {goal}", max(values), "%", at_most=limit))
    return [*figures, *ahead(figures), *coverage(), decision()]


def ahead(figures: list[Figure]) -> Iterator[Figure]:
    """In how many of the cases in which others are ahead of the best plain policy the controller is ahead as well.

    Others: the oracle, by more than 1 %; or any causal policy, by as much - the tuned one, the rule that has the past
    for free, or the controller itself. Where no causal policy is ahead, foresight is what would be needed.
    """
    values = {figure.name: figure.value for figure in figures}
    leads = {
        place: {CONTROLLER: -value, **{policy: values[place + AHEAD[policy]] for policy in AHEAD}}
        for place, value in (
            (name.removesuffix(BEHIND), value) for name, value in values.items() if name.endswith(BEHIND)
        )
        if place + AHEAD[ORACLE] in values
    }
    for who, policies in (("the oracle", (ORACLE,)), ("any causal policy found", (CONTROLLER, TUNED, PAST))):
        led = [lead for lead in leads.values() if max(lead[policy] for policy in policies) > LEAD]
        name = f"ahead of the best plain where {who} is (in {len(led)} cases)"
        yield Figure(name, sum(lead[CONTROLLER] > 0 for lead in led), "cases", at_least=len(led))


def networks() -> list[Problem]:
    """Each network with its jpeg and with inputs that stay."""
    folder = resources.files("dnn_surgery.evaluation") / "problems"
    texts = sorted((item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir())
    problems = [Problem.from_json(text, where=name) for name, text in texts if name.endswith(".json")]
    return [variant for problem in problems for variant in (problem, keep_inputs(problem))]


def experiments() -> Iterator[Experiment]:
    traces: list[tuple[str, Trace]] = [(path.stem, read_trace(path)) for path in sorted(TRACES.glob("*.up"))]
    for problem in networks():
        for name, trace in traces:
            yield Experiment.over(problem, trace, name)


def of_experiment(experiment: Experiment) -> list[Figure]:
    """How far the controller is behind, and what the oracle would gain."""
    played = play_all(experiment, contenders(experiment))
    best, _ = tuned(experiment)
    past = best_neighbours(experiment)
    ours, oracle = played[CONTROLLER], played[ORACLE]
    plain = min((played[name] for name in PLAIN if name in played), key=lambda one: one.mean_s)
    name = f"{experiment.problem.name}, {experiment.trace_name}"
    low, high = ours.behind_interval(best)
    return [
        Figure(f"{name}: behind tuned", 100 * ours.behind(best), "%", at_most=5, spread=100 * (high - low)),
        Figure(name + BEHIND, 100 * ours.behind(plain), "%", at_most=2),
        Figure(f"{name}: behind oracle", 100 * ours.behind(oracle), "%"),
        *(
            Figure(f"{name}{AHEAD[policy]}", -100 * outcomes.behind(plain), "%")
            for policy, outcomes in ((ORACLE, oracle), (TUNED, best), (PAST, past))
        ),
        Figure(f"{name}: mean", 1e3 * ours.mean_s, "ms"),
        *_details(name, ours, oracle),
    ]


def _details(name: str, ours: Outcomes, oracle: Outcomes) -> list[Figure]:
    dead = sum(len(run.dead_latency_s) for run in ours.runs)
    return [
        Figure(f"{name}: p95", 1e3 * ours.p95_s, "ms"),
        Figure(f"{name}: p95 of the oracle", 1e3 * oracle.p95_s, "ms"),
        Figure(f"{name}: in time", 100 * ours.met, "%"),
        Figure(f"{name}: in time, oracle", 100 * oracle.met, "%"),
        *([Figure(f"{name}: mean in dead seconds", 1e3 * ours.interval("dead_mean_s")[0], "ms")] if dead else []),
    ]


def coverage() -> Iterator[Figure]:
    """How many of the next transfers the interval of 90 % holds, one transfer a second."""
    for size_bytes in (26_000, 200_000):
        held = count = 0
        for path in sorted(TRACES.glob("*.up")):
            trace, estimator, now_s = read_trace(path), LinkEstimator(), 0.0
            estimator.ping(RTT_S, now_s)
            while now_s < min(trace.duration_s, LONGEST_S):
                end_s = trace.finish(now_s, float(size_bytes))
                belief = estimator.belief(now_s)
                if belief is not None and trace.bytes_between(now_s, now_s + 1.0) > 0:
                    held += belief.low_bps <= 8 * size_bytes / max(end_s - now_s, 1e-3) <= belief.high_bps
                    count += 1
                estimator.transfer(size_bytes, end_s - now_s + RTT_S, end_s + RTT_S, idle_s=1.0)
                now_s = max(now_s + 1.0, end_s + RTT_S)
        yield Figure(f"next transfers of {size_bytes // 1000} kB within the interval of 90 %", 100 * held / count, "%")


def decision() -> Figure:
    """Seconds of one belief and decision, as a share of the fastest frame of these networks."""
    shares = []
    for problem in networks():
        table = problem.frontier
        if table is None:
            continue
        estimator, controller = LinkEstimator(), Controller(table, deadline_s=1.0, rng=random.Random(0))
        estimator.ping(0.04, 0.0)
        fastest_s, drawn = float("inf"), random.Random(1)
        seconds = []
        for number in range(400):
            estimator.transfer(50_000, 0.04 + 0.4 / drawn.uniform(1, 20), float(number))
            start = time.perf_counter()
            found = controller.decide(number + 0.1, estimator.belief(number + 0.1))
            seconds.append(time.perf_counter() - start)
            fastest_s = min(fastest_s, found.plan.latency_s)
        shares.append(statistics.median(seconds) / fastest_s)
    return Figure("a decision, share of the fastest frame", 100 * max(shares), "%", at_most=1)
