"""A frontier on which whatever a controller chooses is proved: for links and loads that change while frames come.

plans that lead somewhere in the envelope --verify--> fails: forbid, look again who leads
                                             \\------> passes: a row, beside all rows that lose nothing
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnn_surgery import codecs
from dnn_surgery.calibration.guard import Verified, Verifier, loses_nothing, same_way
from dnn_surgery.errors import InputError
from dnn_surgery.planning.breakpoints import breakpoints
from dnn_surgery.planning.frontier import Frontier, frontier
from dnn_surgery.planning.frontier_rows import with_plans
from dnn_surgery.planning.goal import Goal
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Objective, Plan
from dnn_surgery.planning.problem import Problem

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The links and loads between which a controller will choose; along the bandwidth every plan that leads is found,
    of the others those that lead at one of the values named."""

    slowest_bps: float = 1e5
    fastest_bps: float = 1e8
    rtts_s: tuple[float, ...] = (0.0, 0.05, 0.3)
    edge_loads: tuple[float, ...] = (1.0, 2.0, 4.0)
    cloud_loads: tuple[float, ...] = (1.0, 2.0, 4.0)
    objectives: tuple[Objective, ...] = ("latency", "throughput")

    def __post_init__(self) -> None:
        if not 0 < self.slowest_bps <= self.fastest_bps:
            raise InputError(f"an envelope from {self.slowest_bps:g} to {self.fastest_bps:g} bit/s is none")


@dataclass(frozen=True, slots=True)
class GuardedFrontier:
    """`frontier` holds only rows that lose nothing or were proved, so every choice from it is good anywhere.

    `verified` passed, `failed` did not. `complete` says that all that lead somewhere in the envelope were verified;
    else `max_verifications` ended it, and a plan that was not looked at may be better than what the frontier has.
    """

    frontier: Frontier
    verified: tuple[Verified, ...]
    failed: tuple[Verified, ...]
    complete: bool


def guarded_frontier(
    problem: Problem,
    verifier: Verifier,
    *,
    accuracy: float | None,
    envelope: Envelope,
    max_verifications: int = 60,
    progress: Progress | None = None,
) -> GuardedFrontier:
    """The frontier of all plans that lose nothing, and of those proved to be accurate enough that lead somewhere.

    Args:
        problem: with all codecs that may be tried.
        verifier: asked about plans that lose something; one that remembers makes a second start quick
            (:class:`dnn_surgery.calibration.verdicts.CachedVerifier`).
        accuracy: the share of frames to prove (Wilson's lower bound, 95 %); None: no bit may be lost.
        envelope: where a plan has to lead to be verified.
        max_verifications: so many plans are verified at most.
        progress: called with (verified so far, those and all that wait).

    Raises:
        InfeasibleError: there are too many combinations for a frontier, or none that is allowed.
        InputError: a tensor has no way to travel that loses nothing.
    """
    exact = frontier(lossless(problem))
    verified: list[Verified] = []
    failed: list[Verified] = []
    complete = True
    left = problem
    while accuracy is not None:
        waiting = [
            plan
            for plan in leading(frontier(left), envelope)
            if not loses_nothing(plan) and not any(same_way(plan, one.plan) for one in verified)
        ]
        if not waiting:
            break
        done = len(verified) + len(failed)
        complete = done + len(waiting) <= max_verifications
        for plan in waiting[: max_verifications - done]:
            agreement = verifier(plan)
            passed = agreement.bound >= accuracy
            (verified if passed else failed).append(Verified(plan, agreement))
            if not passed:
                left = left.without(plan)
            if progress:
                progress(len(verified) + len(failed), done + len(waiting))
        if not complete:
            break
    rows = with_plans(exact, problem, [one.plan for one in verified])
    return GuardedFrontier(rows, tuple(verified), tuple(failed), complete)


def leading(table: Frontier, envelope: Envelope) -> list[Plan]:
    """The plans that are the best somewhere in the envelope, those first that are at the most places."""
    found: list[tuple[Plan, int]] = []
    for plan in _winners(table, envelope):
        for place, (known, places) in enumerate(found):
            if same_way(plan, known):
                found[place] = known, places + 1
                break
        else:
            found.append((plan, 1))
    return [plan for plan, _ in sorted(found, key=lambda one: -one[1])]


def lossless(problem: Problem) -> Problem:
    """The problem with those ways to travel alone that lose no bit.

    Raises:
        InputError: a tensor has none.
        CodecError: a codec is unknown.
    """
    ways = {}
    for layer in problem.layers:
        for tensor in layer.outputs:
            kept = tuple(way for way in tensor.ways if codecs.get(way.name).lossless)
            if not kept:
                raise InputError(f"tensor {tensor.name!r} has no codec that loses nothing")
            if tensor.codecs:
                ways[tensor.name] = kept
    return problem.with_codecs(ways)


def _winners(table: Frontier, envelope: Envelope) -> Iterator[Plan]:
    at = itertools.product(envelope.rtts_s, envelope.edge_loads, envelope.cloud_loads, envelope.objectives)
    for rtt_s, edge_load, cloud_load, objective in at:
        goal = Goal(objective, edge_load=edge_load, cloud_load=cloud_load)
        for stretch in breakpoints(table, Link(envelope.fastest_bps, rtt_s), goal, "bandwidth"):
            inside = stretch.high > envelope.slowest_bps and stretch.low < envelope.fastest_bps
            if inside and stretch.plan is not None:
                yield stretch.plan
