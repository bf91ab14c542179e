"""Policies by name: the controller, the baselines, the oracle, a grid tuned in hindsight, and any from outside.

An outside name is an algorithm of :mod:`dnn_surgery.planning.algorithms`, or ``module:function`` (a planner: from
problem, link and goal to a plan or to the names of the layers at the edge), or ``module:Class`` (an online controller:
called with the problem, with the methods of :class:`OutsideController`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from dnn_surgery.edge.controller import Controller, ControllerSettings
from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.evaluation.policies import Deaf, Fixed, Online, Oracle, Replanner, Smoothed
from dnn_surgery.evaluation.regret import Experiment, Outcomes, PolicyMaker, play
from dnn_surgery.evaluation.scenario import Choice, Policy, Scenario, Status
from dnn_surgery.network.estimator import LinkEstimator
from dnn_surgery.network.link_filter import EstimatorSettings
from dnn_surgery.planning import Goal, Link, Plan, Problem
from dnn_surgery.planning.algorithms import find, plan_for

CONTROLLER, ORACLE = "controller", "oracle"
BASELINES = ("edge-only", "cloud-only", "cloud-float32", "static-best", "neurosurgeon")

_RESCALING_BYTES = 1000  # mean and deviation of a few channels

_ALPHAS = (0.05, 0.3, 0.6, 1.0)
_POWERS = (-1.0, 0.0)
_PESSIMISMS = (0.5, 0.7, 1.0)
_MARGINS = (0.0, 0.15)
_PROBES_S = (1.0, 4.0)


class OutsideController(Protocol):
    """What a class from outside has. `wants_probe` is optional; without it the link is probed every two seconds."""

    def decide(self, now_s: float) -> Plan | Collection[str]:
        """A plan for the frame that begins now, or the names of the layers at the edge."""

    def transferred(self, size_bytes: float, seconds: float, now_s: float) -> None:
        """An upload and its reply took so long, the server's work taken out."""

    def failed(self, now_s: float) -> None:
        """No reply in time."""


def controller(settings: ControllerSettings | None = None, estimator: EstimatorSettings | None = None) -> PolicyMaker:
    """The device's own."""

    def make(experiment: Experiment, scenario: Scenario) -> Policy:
        decides = Controller(
            experiment.frontier, deadline_s=scenario.deadline_s, settings=settings, rng=random.Random(scenario.seed)
        )
        return Online(decides, LinkEstimator(estimator))

    return make


def oracle(experiment: Experiment, scenario: Scenario) -> Policy:
    """The clairvoyant."""
    return Oracle(scenario, experiment.frontier)


def fixed(plan: Plan) -> PolicyMaker:
    """One plan for ever."""
    return lambda _experiment, _scenario: Fixed(plan)


def contenders(experiment: Experiment) -> dict[str, PolicyMaker]:
    """The controller, the clairvoyant and all baselines."""
    return {CONTROLLER: controller(), ORACLE: oracle, **baselines(experiment)}


def keep_inputs(problem: Problem) -> Problem:
    """The same problem with inputs that may not leave the device."""
    layers = tuple(
        layer
        if layer.inputs
        else replace(layer, outputs=tuple(replace(tensor, send=False) for tensor in layer.outputs))
        for layer in problem.layers
    )
    return replace(problem, name=f"{problem.name}, input kept", layers=layers)


def baselines(experiment: Experiment) -> dict[str, PolicyMaker]:
    """Those of :data:`BASELINES` that the problem allows, each one plan for ever.

    static-best and neurosurgeon are planned at the median second of the trace. cloud-only uploads the picture in its
    cheapest way (the jpeg, where there is one); cloud-float32 is what the paper calls so: the picture as float32, raw.
    """
    problem, link = experiment.problem, experiment.typical_link
    found: dict[str, Callable[[], Plan]] = {
        "edge-only": lambda: plan_for(problem, link, Goal(), "edge-only"),
        "cloud-only": lambda: plan_for(problem, link, Goal(), "cloud-only"),
        "cloud-float32": lambda: _float32(problem, link),
        "static-best": lambda: plan_for(problem, link, Goal()),
        "neurosurgeon": lambda: plan_for(problem, link, Goal(), "neurosurgeon"),
    }
    makers = {}
    for name, planned in found.items():
        try:
            makers[name] = fixed(planned())
        except InfeasibleError:
            continue  # such as uploading a picture that may not leave
    return makers


def _float32(problem: Problem, link: Link) -> Plan:
    """Inputs, and what only rescales them, at the edge: what reads nothing else and has hardly a parameter."""
    inputs = {tensor.name for layer in problem.layers if not layer.inputs for tensor in layer.outputs}
    edge = [
        layer.name for layer in problem.layers if set(layer.inputs) <= inputs and layer.param_bytes < _RESCALING_BYTES
    ]
    return problem.cost(edge=edge, link=link)


def tuned(experiment: Experiment) -> tuple[Outcomes, str]:
    """The best causal policy in hindsight: of a grid of moving averages and of all constant plans, on this very trace.

    Returns its outcomes and what it is.
    """
    best: Outcomes | None = None
    text = ""
    for name, maker in _grid(experiment).items():
        outcomes = play(experiment, "tuned", maker)
        if best is None or outcomes.mean_s < best.mean_s:
            best, text = outcomes, name
    if best is None:
        raise InputError("nothing to tune")
    return best, text


def _grid(experiment: Experiment) -> Mapping[str, PolicyMaker]:
    makers: dict[str, PolicyMaker] = {}
    for power, alpha, pessimism, margin, probe_s in itertools.product(
        _POWERS, _ALPHAS, _PESSIMISMS, _MARGINS, _PROBES_S
    ):
        options = {"power": power, "alpha": alpha, "pessimism": pessimism, "margin": margin, "probe_s": probe_s}
        makers[", ".join(f"{key} {value:g}" for key, value in options.items())] = _smoothed(options)
    for mbit in (0.05, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 40, 100):
        plan = experiment.frontier.best(Link(mbit * 1e6, experiment.rtt_s))
        makers[f"always {plan.edge[-1]}, {'+'.join(s.codec for s in plan.sent) or 'nothing sent'}"] = fixed(plan)
    return makers


def _smoothed(options: dict[str, float]) -> PolicyMaker:
    return lambda experiment, _: Smoothed(experiment.frontier, **options)  # type: ignore[arg-type]


def outside(name: str) -> PolicyMaker:
    """A policy from a name: see the module's text.

    Raises:
        InputError: there is none of that name.
    """
    if name == CONTROLLER:
        return controller()
    found: Any = find(name)
    if isinstance(found, type):
        if missing := [method for method in ("decide", "transferred", "failed") if not hasattr(found, method)]:
            raise InputError(f"{name} is no online controller: it has no method {missing[0]!r}")
        return lambda experiment, _: _Outside(experiment.problem, found(experiment.problem), name)

    def make(experiment: Experiment, _: Scenario) -> Policy:
        problem = experiment.problem
        first = plan_for(problem, Link(1.0), Goal())
        return Replanner(lambda link, goal: plan_for(problem, link, goal, name), first, goal=Goal())

    return make


class _Outside(Deaf):
    """An online controller from outside."""

    def __init__(self, problem: Problem, decides: OutsideController, name: str) -> None:
        self._problem, self._decides, self._name = problem, decides, name
        self._heard_s = 0.0

    def choose(self, status: Status) -> Choice:
        """What it decides; its layers are scored where it only names them."""
        found = self._decides.decide(status.now_s)
        if not isinstance(found, Plan):
            found = replace(self._problem.cost(edge=tuple(found), link=Link(1e6)), algorithm=self._name)
        wants = getattr(self._decides, "wants_probe", None)
        probe = wants(status.now_s) if wants else not found.sent and status.now_s - self._heard_s >= 2.0
        return Choice(found, bool(probe))

    def transfer(self, size_bytes: float, seconds: float, now_s: float, *, idle_s: float) -> None:  # noqa: ARG002
        """Told to it."""
        self._heard_s = now_s
        self._decides.transferred(size_bytes, seconds, now_s)

    def failed(self, now_s: float, *, size_bytes: float, seconds: float) -> None:  # noqa: ARG002
        """Told to it."""
        self._decides.failed(now_s)
