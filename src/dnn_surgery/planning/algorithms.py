"""All algorithms by name, and `plan`, which runs one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.goal import NO_LIMITS, Goal, Limits, Power
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Objective, Plan
from dnn_surgery.planning.problem import Forbidden, Problem
from dnn_surgery.planning.ties import TIE
from dnn_surgery.units import format_duration, format_size

Algorithm = Callable[[Problem, Link, Goal], "Plan | Collection[str]"]
"""An algorithm returns a plan, or just the names of the layers it puts at the edge, which are then scored."""

_ROOM = "dnn_surgery.planning"
_ALGORITHMS: dict[str, str | Algorithm] = {
    "exact": f"{_ROOM}.exact:exact",
    "dsl": f"{_ROOM}.dsl:dsl",
    "dsh": f"{_ROOM}.dsh:dsh",
    "dads": f"{_ROOM}.dads:dads",
    "dsl-paper": f"{_ROOM}.paper:dsl_paper",
    "dsh-paper": f"{_ROOM}.paper:dsh_paper",
    "neurosurgeon": f"{_ROOM}.baselines:neurosurgeon",
    "edge-only": f"{_ROOM}.baselines:edge_only",
    "cloud-only": f"{_ROOM}.baselines:cloud_only",
}
BUILT_IN = tuple(_ALGORITHMS)


def names() -> tuple[str, ...]:
    """The names that `plan` knows, beside any ``module:function``."""
    return tuple(_ALGORITHMS)


def register(name: str, algorithm: Algorithm) -> None:
    """Makes `algorithm` known under `name`.

    Raises:
        InputError: the name is taken, or is written like ``module:function``.
    """
    if name in _ALGORITHMS:
        raise InputError(f"an algorithm called {name!r} exists already")
    if not name or ":" in name:
        raise InputError(f"an algorithm's name must not be empty or hold a colon, got {name!r}")
    _ALGORITHMS[name] = algorithm


def find(name: str) -> Algorithm:
    """The algorithm of that name, or the function of a ``module:function``.

    Raises:
        InputError: there is none; near matches are named.
    """
    entry = _ALGORITHMS.get(name, name)
    if not isinstance(entry, str):
        return entry
    if ":" not in entry:
        raise InputError(
            f"unknown algorithm {name!r}, expected one of {', '.join(_ALGORITHMS)} or module:function"
            f"{near(name, _ALGORITHMS)}"
        )
    module, _, function = entry.partition(":")
    # A user's module lies where the command is typed, as for uvicorn.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError, AttributeError, SyntaxError) as error:
        raise InputError(f"cannot load the algorithm {name!r}: {error}") from error
    if not callable(found):
        raise InputError(f"cannot load the algorithm {name!r}: it is no function")
    algorithm: Algorithm = found
    return algorithm


def plan(
    problem: Problem,
    link: Link,
    objective: Objective = "latency",
    rate_hz: float | None = None,
    algorithm: str = "exact",
    *,
    edge_load: float = 1.0,
    cloud_load: float = 1.0,
    limits: Limits = NO_LIMITS,
    power: Power | None = None,
) -> Plan:
    """Where to cut `problem` on `link`.

    `rate_hz` asks for a plan that keeps up with that many frames a second. The loads multiply the seconds of each side.
    `limits` are kept by the algorithm `exact`. The objective ``energy`` needs `power`.

    Raises:
        InfeasibleError: no partition keeps the rules and limits; the message names them.
        InputError: an unknown objective or algorithm, or a number that makes no sense.
    """
    return plan_for(problem, link, Goal(objective, rate_hz, edge_load, cloud_load, limits, power), algorithm)


def plan_for(problem: Problem, link: Link, goal: Goal, algorithm: str = "exact") -> Plan:
    """The same as :func:`plan`, for a `Goal`."""
    if problem.tiers > 2:
        raise InputError(f"{problem.name} has {problem.tiers} tiers: plan_tiers() plans it, with a link for each gap")
    found = find(algorithm)(problem, link, goal)
    if not isinstance(found, Plan):
        edge = _names(algorithm, found)
        found = problem.cost(edge=edge, link=link, edge_load=goal.edge_load, cloud_load=goal.cloud_load)
    return judged(problem, goal, replace(found, objective=goal.objective, algorithm=algorithm))


def _names(algorithm: str, found: object) -> tuple[str, ...]:
    """What a user's algorithm returned, if it is names of layers."""
    if isinstance(found, Collection) and not isinstance(found, str):
        names = tuple(found)
        if all(isinstance(name, str) for name in names):
            return names
    raise InputError(f"the algorithm {algorithm!r} must return a Plan or names of layers, got {type(found).__name__}")


def judged(problem: Problem, goal: Goal, found: Plan) -> Plan:
    """The plan with its mode at the goal's rate; only `exact` looks at limits and bans itself, so others are checked.

    Raises:
        InfeasibleError: the plan breaks a limit or is forbidden.
    """
    size = {layer.name: layer.param_bytes for layer in problem.layers}
    for value, limit, what, show in (
        (sum(size[name] for name in found.edge), goal.limits.edge_param_bytes, "the memory limit", format_size),
        (found.sent_bytes, goal.limits.frame_bytes, "the limit on the bytes of a frame", format_size),
        (found.latency_s, goal.limits.deadline_s, "the deadline", format_duration),
    ):
        if limit is not None and value > limit * (1 + 1e-9):
            raise InfeasibleError(
                f"the plan of {found.algorithm} breaks {what} of {show(limit)}: it needs {show(value)}"
            )
    ban = Forbidden(found.edge, tuple((sent.tensor, sent.codec) for sent in found.sent))
    if any(set(ban.edge) == set(b.edge) and set(ban.codecs) == set(b.codecs) for b in problem.forbidden):
        raise InfeasibleError(f"the plan of {found.algorithm} is forbidden")
    if goal.rate_hz is not None and found.mode is None:
        keeps_up = found.bottleneck_s <= (1 + TIE) / goal.rate_hz
        return replace(found, mode="light" if keeps_up else "congested")
    return found
