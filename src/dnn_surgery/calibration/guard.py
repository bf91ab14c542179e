"""The accuracy guard: plan, verify the winner, forbid it if it fails, plan again.

Accuracy belongs to a partition together with its codecs, so no list of safe codecs is made beforehand: most
combinations never win, and only those that do cost a verification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement, check_accuracy, frames_needed
from dnn_surgery.errors import InfeasibleError, InputError
from dnn_surgery.planning.plan import Plan
from dnn_surgery.planning.problem import Problem

Planner = Callable[[tuple[Plan, ...]], Plan]
"""The best plan that is none of those given: none with the same edge layers and the same codecs."""

Verifier = Callable[[Plan], Agreement]
"""How often a plan's answers are those of the unsplit model."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A plan and how it did; `agreement` is None where nothing is lost, so that nothing had to be verified."""

    plan: Plan
    agreement: Agreement | None


@dataclass(frozen=True, slots=True)
class Guarded:
    """The plan that passed, what failed before it, and how many frames the accuracy needs at the least."""

    passed: Verified
    failed: tuple[Verified, ...]
    accuracy: float | None
    frames_needed: int

    @property
    def plan(self) -> Plan:
        """The plan that passed."""
        return self.passed.plan


def guard(planner: Planner, verifier: Verifier, *, accuracy: float | None, max_rounds: int = 200) -> Guarded:
    """The best plan that is proved to be accurate enough.

    Args:
        planner: see :data:`Planner`.
        verifier: see :data:`Verifier`; asked only about plans that lose something.
        accuracy: the share of frames to prove (Wilson's lower bound, 95 %); None: no bit may be lost.
        max_rounds: so many plans are tried.

    Raises:
        InputError: the accuracy is not between 0 and 1, or the planner gave a plan that it was told not to.
        InfeasibleError: no plan is left (the planner's own), or none passed in so many rounds.
    """
    needed = 0
    if accuracy is not None:
        check_accuracy(accuracy)
        needed = frames_needed(accuracy)
    failed: list[Verified] = []
    for _ in range(max_rounds):
        plan = planner(tuple(one.plan for one in failed))
        if any(same_way(plan, one.plan) for one in failed):
            raise InputError(f"the planner gave a plan again that had failed: {describe(plan)}")
        if loses_nothing(plan):
            return Guarded(Verified(plan, None), tuple(failed), accuracy, needed)
        # Whether a codec loses anything is known without a frame.
        agreement = verifier(plan) if accuracy is not None else None
        if agreement is not None and accuracy is not None and agreement.bound >= accuracy:
            return Guarded(Verified(plan, agreement), tuple(failed), accuracy, needed)
        failed.append(Verified(plan, agreement))
    wanted = "exact" if accuracy is None else f"proved at {accuracy:g}"
    raise InfeasibleError(f"none of the {max_rounds} best plans is {wanted}; the last: {describe(failed[-1].plan)}")


def planner_of(problem: Problem, find: Callable[[Problem], Plan]) -> Planner:
    """A planner that forbids in the problem itself what failed, before anything is pruned.

    Args:
        problem: with all codecs that may be tried.
        find: the best plan of a problem, such as ``lambda problem: plan(problem, link, rate_hz=20)``.
    """

    def planner(failed: tuple[Plan, ...]) -> Plan:
        left = problem
        for one in failed:
            left = left.without(one)
        return find(left)

    return planner


def loses_nothing(plan: Plan) -> bool:
    """Whether every tensor that is sent arrives bit for bit.

    Raises:
        CodecError: a codec of the plan is unknown.
    """
    return all(codecs.get(sent.codec).lossless for sent in plan.sent)


def same_way(one: Plan, other: Plan) -> bool:
    """Whether two plans run the same layers at the edge and send the same tensors with the same codecs."""
    return set(one.edge) == set(other.edge) and _codecs(one) == _codecs(other)


def describe(plan: Plan) -> str:
    """``blocks.5.project as int4c+zstd``."""
    return ", ".join(f"{sent.tensor} as {sent.codec}" for sent in plan.sent) or "nothing is sent"


def _codecs(plan: Plan) -> set[tuple[str, str]]:
    return {(sent.tensor, sent.codec) for sent in plan.sent}
