"""`dnn-surgery plan` with frames: codecs are measured on them, and the winner's answers proved."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.calibration.guard import Guarded
    from dnn_surgery.planning import Goal, Link, Plan, Problem


@dataclass(frozen=True, slots=True)
class GuardedPlan:
    """The plan that passed, the problem without those that failed, and what the accuracy rests on."""

    problem: Problem
    guarded: Guarded
    rule: str


def asks_for_frames(arguments: argparse.Namespace) -> bool:
    """Whether the flags ask for frames to be looked at."""
    return arguments.calibration is not None or arguments.accuracy not in (None, "exact")


def plan_guarded(arguments: argparse.Namespace, find: Callable[[Problem], Plan]) -> GuardedPlan:
    """Loads the model, measures what the profiles do not say, plans and proves.

    Args:
        arguments: the flags of `plan`.
        find: the best plan of a problem.

    Raises:
        InputError: no model is named, or there are no frames.
        ProfileError: a profile is of another model.
        InfeasibleError: no plan is left.
    """
    from dnn_surgery.calibration.answers import answer_of
    from dnn_surgery.cli.calibration_arguments import calibration_of
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.profile import measured
    from dnn_surgery.errors import ProfileError
    from dnn_surgery.profiling.profile import Profile

    if arguments.model is None or arguments.model == "-" or Path(arguments.model).suffix == ".json":
        raise InputError(
            "an accuracy is proved by running the model: name a MODEL, and the profiles of both sides with --edge and "
            "--cloud"
        )
    graph = load_graph(arguments)
    calibration = calibration_of(arguments, graph)
    if calibration is None:
        raise InputError("nothing to calibrate with: give --calibration")
    engine = build_engine(graph, arguments)
    profiles = [Profile.load(path) if path else None for path in (arguments.edge, arguments.cloud)]
    for profile in profiles:
        if profile is not None and profile.fingerprint != graph.fingerprint:
            raise ProfileError(f"a profile is of another model or other weights than {graph.name}")
    edge = profiles[0] or profiles[1] or measured(engine)
    cloud = profiles[1] or edge
    slowdown = 1.0 if arguments.edge_slowdown is None else arguments.edge_slowdown
    problem = calibration.problem(calibration.measured(engine, edge), cloud, slowdown)
    problem, guarded = calibration.plan(engine, problem, find)
    return GuardedPlan(problem, guarded, answer_of(graph).rule)


def show_guarded(found: GuardedPlan, link: Link, goal: Goal, *, as_json: bool) -> None:
    """Prints the plan, and what its accuracy rests on."""
    from dnn_surgery.report.accuracy_lines import accuracy_lines, accuracy_record

    plan = found.guarded.plan
    if as_json:
        record = json.loads(plan.to_json()) | {"accuracy": accuracy_record(found.guarded, found.rule)}
        print(json.dumps(record, indent=1))
        return
    from dnn_surgery.cli.plan_view import show

    show(found.problem, link, goal, plan)
    for line in accuracy_lines(found.guarded, found.rule):
        print(line)
    if found.guarded.passed.agreement is not None:
        print("the runner-up and the plans for other links are not proved: plan for those links to know")
