"""What is settled before the first frame: what both sides cost, the first plan, and who decides from then on."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from dnn_surgery.calibration.calibration import Calibration, with_cut
from dnn_surgery.calibration.guard import Guarded
from dnn_surgery.edge.controller import Controller
from dnn_surgery.edge.follow import Decides, Fixed
from dnn_surgery.errors import InfeasibleError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.planning import Limits, Link, Plan, Problem, plan
from dnn_surgery.planning.frontier import frontier_below
from dnn_surgery.planning.plan import Objective
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.units import format_size

Report = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What the caller wants of the cut; the words are those of :func:`dnn_surgery.edge.connection.connect`."""

    forced: tuple[str, ...] | None
    objective: Objective
    rate_hz: float | None
    algorithm: str
    follow: bool
    deadline_s: float | None
    limits: Limits
    calibration: Calibration | None


def problem_of(
    engine: Engine, edge: Profile | None, cloud: Profile, wish: Wish, *, slowdown: float, report: Report
) -> Problem:
    """The problem of these two sides; this device is profiled where nobody has."""
    if edge is None:
        report("profiling this device")
        edge = profile(engine.graph, engine=engine)
    if wish.calibration is None:
        problem = Problem.from_profiles(edge, cloud, slowdown)
    else:
        problem = wish.calibration.problem(wish.calibration.measured(engine, edge), cloud, slowdown)
    for notice in problem.notices:
        report(f"notice: {notice}")
    return problem


def choose_first(engine: Engine, problem: Problem, link: Link, wish: Wish) -> tuple[Problem, Plan, Guarded | None]:
    """The first plan; with a calibration it is proved, and the problem is left without the plans that failed."""
    if wish.calibration is None:
        return problem, _planned(problem, link, wish), None
    if wish.forced is not None:
        _check_memory(problem, wish.forced, wish.limits.edge_param_bytes)
        problem = with_cut(problem, wish.forced)
    free = replace(wish, forced=None)
    problem, guarded = wish.calibration.plan(engine, problem, lambda left: _planned(left, link, free))
    return problem, guarded.plan, guarded


def controller_for(problem: Problem, chosen: Plan, wish: Wish, engine: Engine, report: Report) -> Decides:
    """What decides from then on: a controller, or nobody."""
    if wish.forced is not None or not wish.follow:
        return Fixed(chosen)
    if wish.algorithm != "exact":
        report(f"the cut is that of {wish.algorithm} and stays as it is: only exact plans follow the link")
        return Fixed(chosen)
    rows = frontier_below(problem)
    if rows is None:
        report("the model has too many cuts to choose from for each frame: the cut stays as it is")
        return Fixed(chosen)
    if wish.calibration is not None and wish.calibration.accuracy is not None:
        # Whatever it chooses later has to be proved before the first frame: a frame cannot wait for that.
        rows = wish.calibration.frontier(engine, problem).frontier
    return Controller(
        rows.within(wish.limits),
        objective=wish.objective,
        rate_hz=wish.rate_hz,
        deadline_s=wish.deadline_s,
        rng=random.Random(),
    )


def _planned(problem: Problem, link: Link, wish: Wish) -> Plan:
    if wish.forced is not None:
        _check_memory(problem, wish.forced, wish.limits.edge_param_bytes)
        return problem.cost(edge=wish.forced, link=link)
    return plan(problem, link, wish.objective, rate_hz=wish.rate_hz, algorithm=wish.algorithm, limits=wish.limits)


def _check_memory(problem: Problem, edge: Collection[str], limit_bytes: float | None) -> None:
    needed_bytes = sum(layer.param_bytes for layer in problem.layers if layer.name in edge)
    if limit_bytes is not None and needed_bytes > limit_bytes:
        raise InfeasibleError(
            f"this cut holds {format_size(needed_bytes)} of weights at the edge, more than the memory limit of "
            f"{format_size(limit_bytes)}"
        )
