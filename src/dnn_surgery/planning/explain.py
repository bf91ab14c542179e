"""Why a plan: what it is called, the verdict in a sentence, the runner-up, and what else one could do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.planning.baselines import cloud_only, edge_only
from dnn_surgery.planning.frontier import Frontier
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.problem import Problem

Kind = Literal["local", "upload", "split"]

# The leading rows of a frontier among which a different partition is looked for.
_LEADING = 200


@dataclass(frozen=True, slots=True)
class Rival:
    """Another plan, and how much more of the objective it costs, relatively (0.5: half as much again).

    `flaw` says what of the goal it does not keep: a rival may cost less and still be none.
    """

    plan: Plan
    margin: float
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of a plan.

    `runner_up` is the best plan of the frontier with another partition (None without a frontier, or where there is no
    other). `local` and `upload` are None where they are not allowed, or are the plan itself. `impossible` says why a
    partition to the letter of the paper cannot run.
    """

    kind: Kind
    verdict: str
    runner_up: Rival | None
    local: Rival | None
    upload: Rival | None
    impossible: str | None


def explain(problem: Problem, link: Link, goal: Goal, plan: Plan) -> Explanation:
    """Compares a plan with what else one could do on the same link and loads."""
    inputs = {layer.name for layer in problem.layers if not layer.inputs}
    kind = kind_of(plan, inputs)
    local, upload = _baseline(edge_only, problem, link, goal, plan), _baseline(cloud_only, problem, link, goal, plan)
    impossible = _impossible(problem, plan)
    return Explanation(
        kind=kind,
        verdict="No partition that can run" if impossible else _verdict(plan, kind, goal, local, upload),
        runner_up=_runner_up(problem.frontier, link, goal, plan),
        local=local,
        upload=upload,
        impossible=impossible,
    )


def kind_of(plan: Plan, inputs: set[str]) -> Kind:
    """Whether a plan stays at the edge, uploads the model's inputs, or splits the network."""
    if not plan.cloud:
        return "local"
    return "upload" if inputs.issuperset(plan.edge) else "split"


def title_of(plan: Plan, kind: Kind) -> str:
    """What one calls the plan: ``split after max5``, ``stay local``, ``upload input``."""
    names = [sent.tensor for sent in plan.sent]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    if kind == "local":
        return "stay local"
    return f"upload {shown}" if kind == "upload" else f"split after {shown}"


def _verdict(plan: Plan, kind: Kind, goal: Goal, local: Rival | None, upload: Rival | None) -> str:
    parts = [
        _compared(goal, rival, what) + (f" (which {rival.flaw})" if rival.flaw else "")
        for rival, what in ((local, "staying local"), (upload, "uploading the input"))
        if rival is not None
    ]
    sentence = title_of(plan, kind) + (f": {' and '.join(parts)}" if parts else "")
    sentence = sentence[0].upper() + sentence[1:]
    if plan.mode == "congested":
        who = "No plan keeps" if plan.algorithm == "exact" else f"The plan of {plan.algorithm} does not keep"
        return f"{sentence}. {who} up with {goal.rate_hz:.4g} frames/s: lower it to {plan.max_rate_hz:.4g}"
    return sentence


def _compared(goal: Goal, rival: Rival, what: str) -> str:
    """What the plan costs beside a rival whose cost is larger by the rival's margin."""
    ratio = 1 + rival.margin
    if goal.objective == "throughput":
        return f"{ratio:.3g} times the throughput of {what}"
    if ratio < 1:
        more = f"{100 * (1 / ratio - 1):.3g} % more" if ratio > 0 else "infinitely more"
        return f"{more} {goal.objective} than {what}"
    return f"{100 * (1 - 1 / ratio):.3g} % less {goal.objective} than {what}"


def _baseline(
    algorithm: Callable[[Problem, Link, Goal], Plan], problem: Problem, link: Link, goal: Goal, plan: Plan
) -> Rival | None:
    try:
        rival = algorithm(problem, link, goal)
    except InfeasibleError:
        return None
    if rival.edge == plan.edge:
        return None
    return Rival(rival, _margin(goal, rival, plan), _flaw(problem, goal, rival))


def _flaw(problem: Problem, goal: Goal, rival: Plan) -> str | None:
    """What of the goal a rival does not keep."""
    size = {layer.name: layer.param_bytes for layer in problem.layers}
    for value, limit, flaw in (
        (rival.bottleneck_s, None if goal.rate_hz is None else 1 / goal.rate_hz, "does not keep up"),
        (rival.latency_s, goal.limits.deadline_s, "misses the deadline"),
        (rival.sent_bytes, goal.limits.frame_bytes, "sends too much"),
        (sum(size[name] for name in rival.edge), goal.limits.edge_param_bytes, "needs too much memory"),
    ):
        if limit is not None and value > limit * (1 + 1e-9):
            return flaw
    return None


def _runner_up(table: Frontier | None, link: Link, goal: Goal, plan: Plan) -> Rival | None:
    if table is None or plan.mode == "congested":
        return None
    for rival in table.leading(link, replace(goal, rate_hz=None), _LEADING):
        keeps_up = goal.rate_hz is None or rival.bottleneck_s <= 1 / goal.rate_hz
        if rival.edge != plan.edge and keeps_up:
            return Rival(rival, _margin(goal, rival, plan))
    return None


def _margin(goal: Goal, rival: Plan, plan: Plan) -> float:
    mine, others = goal.value(plan), goal.value(rival)
    if mine == 0:
        return 0.0 if others == 0 else float("inf")
    return others / mine - 1


def _impossible(problem: Problem, plan: Plan) -> str | None:
    maker = {tensor.name: layer.name for layer in problem.layers for tensor in layer.outputs}
    edge = set(plan.edge)
    for layer in problem.layers:
        if not layer.inputs and layer.name not in edge:
            return f"{layer.name} is an input of the model, yet it is not at the edge and nothing uploads it"
        if layer.name in edge:
            for name in layer.inputs:
                if maker[name] not in edge:
                    return f"{layer.name} is at the edge but needs {maker[name]} from the cloud"
    return None
