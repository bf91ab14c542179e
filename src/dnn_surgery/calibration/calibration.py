"""Frames of the user's own, and what they are for: codecs are measured on them, and answers proved.

frames --measured--> Profile with codecs --Problem--> plan --verify--> fails: forbid, plan again
                                                        \\-- passes: Guarded
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement, frames_needed
from dnn_surgery.calibration.answers import answer_of
from dnn_surgery.calibration.candidates import boundary_tensors, candidates, transforms, with_measured
from dnn_surgery.calibration.envelope import Envelope, GuardedFrontier, guarded_frontier
from dnn_surgery.calibration.guard import Guarded, Verifier, describe, guard, planner_of
from dnn_surgery.calibration.verdicts import CachedVerifier, frame_digest, verdicts_path
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.planning import Plan, Problem
from dnn_surgery.profiling.profile import Profile

Frame = Mapping[str, Array]
Report = Callable[[str], None]

# Bytes and seconds hardly differ between frames of a source: this many, spread over all, tell them.
MEASURED_FRAMES = 6


@dataclass(frozen=True)
class Calibration:
    """Calibration frames and the accuracy that is asked for on them.

    `frames`: inputs by name, arrays. `accuracy`: the share of answers to prove; None (exact) admits only codecs that
    lose no bit, for which any frames will do. `report` is told what is going on, for people who wait.

    Raises:
        InputError: there are no frames, or all were learnt from.
    """

    frames: Sequence[Frame]
    accuracy: float | None = None
    report: Report = field(default=lambda _: None, compare=False)

    def __post_init__(self) -> None:
        if not self.frames:
            raise InputError("calibration needs frames, and there are none")
        if self.accuracy is not None and not self.held_out:
            raise InputError("all calibration frames were learnt from by a codec: give others to prove an accuracy on")

    @cached_property
    def _digests(self) -> tuple[bytes, ...]:
        return tuple(frame_digest(frame) for frame in self.frames)

    @cached_property
    def held_out(self) -> tuple[Frame, ...]:
        """The frames that no learnt codec of this process was learnt from: only these prove anything."""
        learnt = {digest for one in transforms() for digest in one.parameters.frames}
        return tuple(frame for frame, digest in zip(self.frames, self._digests, strict=True) if digest not in learnt)

    def measured(self, engine: Engine, profile: Profile) -> Profile:
        """The profile with what codecs make of the tensors that may cross a cut: lossless ones, and with an accuracy
        to prove the lossy ones as well. What the profile has already is not measured again."""
        known = {(one.tensor, one.codec) for one in profile.codecs}
        tensors = boundary_tensors(engine.graph, profile)
        ways = {
            tensor: tuple(name for name in names if (tensor, name) not in known)
            for tensor, names in candidates(engine.graph, tensors, lossy=self.accuracy is not None).items()
        }
        if not any(ways.values()):
            return profile
        self.report(f"measuring {sum(map(len, ways.values()))} codecs of {len(ways)} tensors")
        step = -(-len(self.frames) // MEASURED_FRAMES)
        return with_measured(profile, engine, list(itertools.islice(self.frames, 0, None, step)), ways)

    def problem(self, edge: Profile, cloud: Profile, edge_slowdown: float = 1.0) -> Problem:
        """The problem of two profiles with the codecs that this accuracy admits to be tried, of those known here: a
        profile may name a learnt codec whose file was not given."""
        admitted = None if self.accuracy is None else {one.codec for one in edge.codecs if codecs.is_known(one.codec)}
        return Problem.from_profiles(edge, cloud, edge_slowdown, codecs=admitted)

    def verifier(self, engine: Engine) -> Verifier:
        """Proves plans on the frames that were not learnt from; what was proved in an earlier run is remembered."""
        accuracy = self.accuracy
        if accuracy is None:
            return _never
        digests = tuple(frame_digest(frame) for frame in self.held_out)
        info = engine.info
        path = verdicts_path(
            engine.graph.fingerprint,
            digests,
            accuracy=accuracy,
            rule=answer_of(engine.graph).rule,
            engine=f"{info.name} {info.version}",
        )

        def make() -> Verifier:
            self.report(f"running the unsplit model on {len(self.held_out)} frames")
            return FrameVerifier(engine, self.held_out, accuracy=accuracy)

        return CachedVerifier(path, make)

    def plan(self, engine: Engine, problem: Problem, find: Callable[[Problem], Plan]) -> tuple[Problem, Guarded]:
        """The best plan that is proved, and the problem without those that failed.

        Args:
            engine: runs the model on the frames.
            problem: see :meth:`problem`.
            find: the best plan of a problem.

        Raises:
            InfeasibleError: no plan is left.
        """
        guarded = guard(planner_of(problem, find), self.verifier(engine), accuracy=self.accuracy)
        for failed in guarded.failed:
            problem = problem.without(failed.plan)
        return problem, guarded

    def frontier(
        self, engine: Engine, problem: Problem, envelope: Envelope | None = None, *, max_verifications: int = 60
    ) -> GuardedFrontier:
        """Every plan that a controller may choose anywhere in the envelope, proved; see :func:`guarded_frontier`.

        Each verification that passes runs head and tail on all frames, once for ever; most that fail take a few frames.
        """
        return guarded_frontier(
            problem,
            self.verifier(engine),
            accuracy=self.accuracy,
            envelope=envelope or Envelope(),
            max_verifications=max_verifications,
            progress=lambda done, total: self.report(f"verified {done} of {total} plans"),
        )

    @property
    def shortage(self) -> str | None:
        """What is to be said where these frames cannot prove the accuracy, however well the answers agree."""
        if self.accuracy is None:
            return None
        needed, given = frames_needed(self.accuracy), len(self.held_out)
        if given >= needed:
            return None
        return f"{given} frames cannot prove {self.accuracy:g}: it takes at least {needed} that all agree"


def with_cut(problem: Problem, edge: Collection[str]) -> Problem:
    """The problem in which just these layers run at the edge: what is left to plan are the codecs."""
    inside = {layer.name for layer in problem.layers if not layer.inputs}.union(edge)
    outside = [layer.name for layer in problem.layers if layer.name not in inside]
    return problem.with_pins(edge=inside, cloud=outside)


def _never(plan: Plan) -> Agreement:
    raise InputError(f"nothing is verified without an accuracy: {describe(plan)}")
