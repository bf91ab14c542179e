"""Are the defaults of estimator and controller made for the four traces? Settings tuned on three, scored on the fourth.

    python -m benchmarks.trace_tuning

Draws settings around the defaults, plays each on all traces and networks of `benchmarks.traces`, and leaves out one
trace after the other: what does best on the three others is scored on the fourth, beside the defaults and beside what
does best on that very trace. The score is the regret: mean latency over the clairvoyant's, less 1 (geometric mean over
the networks). Everything goes to build/trace_tuning.json as well.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.traces import experiments
from dnn_surgery.edge.controller import ControllerSettings
from dnn_surgery.evaluation.contenders import controller, oracle
from dnn_surgery.evaluation.regret import play
from dnn_surgery.network.link_filter import EstimatorSettings

RESULTS = Path("build/trace_tuning.json")
# Each is multiplied by a factor from 1 / WIDTH to WIDTH (uniform in its logarithm).
WIDTH = 2.5
ESTIMATOR = ("slow_s", "fast_s", "slow", "fast", "level_per_s", "noise", "scale_memory", "gate", "step")
CONTROLLER = ("margin", "doubt", "hold_s", "stale_s", "probe_worth", "look_s", "stall_factor")

Settings = tuple[EstimatorSettings, ControllerSettings]
Case = tuple[str, str]


def drawn(number: int) -> Settings:
    """The defaults first, then others around them."""
    estimator, chosen = EstimatorSettings(), ControllerSettings()
    if number == 0:
        return estimator, chosen
    source = random.Random(number)

    def near(value: float) -> float:
        return value * WIDTH ** source.uniform(-1, 1)

    other: dict[str, Any] = {name: near(getattr(estimator, name)) for name in ESTIMATOR}
    another: dict[str, Any] = {name: near(getattr(chosen, name)) for name in CONTROLLER}
    return replace(estimator, **other), replace(chosen, **another)


def means_s(number: int) -> dict[Case, float]:
    """Mean latency of one draw in every case; -1 is the clairvoyant."""
    estimator, chosen = drawn(max(number, 0))
    made = oracle if number < 0 else controller(chosen, estimator)
    return {
        (experiment.trace_name, experiment.problem.name): play(experiment, str(number), made).mean_s
        for experiment in experiments()
    }


def regret(means: dict[Case, float], least: dict[Case, float], traces: set[str]) -> float:
    """Over the cases on these traces."""
    logs = [math.log(means[case] / least[case]) for case in means if case[0] in traces]
    return math.exp(sum(logs) / len(logs)) - 1


def table_of(played: list[dict[Case, float]], least: dict[Case, float]) -> Table:
    """One row a trace that is left out: three regrets on it, then two on the others (in-sample)."""
    names = sorted({trace for trace, _ in least})
    table = Table(title=f"regret, of {len(played)} settings")
    for column in ("left out", "defaults", "tuned on the others", "tuned on this one", "defaults", "tuned on them"):
        table.add_column(column, justify="left" if column == "left out" else "right")
    for name in names:
        here, others = {name}, set(names) - {name}
        tuned = min(played, key=lambda means: regret(means, least, others))
        best = min(regret(means, least, here) for means in played)
        values = (
            *(regret(played[0], least, here), regret(tuned, least, here), best),
            *(regret(played[0], least, others), regret(tuned, least, others)),
        )
        table.add_row(name, *(f"{value:.1%}" for value in values))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace_tuning")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        least, *played = pool.map(means_s, range(-1, arguments.draws))
    RESULTS.parent.mkdir(exist_ok=True)
    record = [
        {
            "settings": [asdict(part) for part in drawn(number)] if number >= 0 else "clairvoyant",
            "mean_s": {" / ".join(case): seconds for case, seconds in means.items()},
        }
        for number, means in enumerate([least, *played], start=-1)
    ]
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    Console().print(table_of(played, least))


if __name__ == "__main__":
    main()
