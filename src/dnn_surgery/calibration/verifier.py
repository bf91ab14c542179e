"""Runs a plan's partition with its codecs on calibration frames and compares with the unsplit model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy

from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement, check_accuracy, disagreeing_allowed
from dnn_surgery.calibration.answers import Answer, Outputs, answer_of, top1
from dnn_surgery.calibration.remembered_cuts import BUDGET_BYTES, RememberedCuts
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.planning.plan import Plan

__all__ = ["FrameVerifier", "top1", "travel"]

Progress = Callable[[int, int], None]


class FrameVerifier:
    """Agreement of plans with the unsplit model on `frames`; callable, a :data:`guard.Verifier`.

    The unsplit model runs once, when this is made. With an `accuracy` a plan is given up as soon as so many frames
    disagree that it cannot be proved any more: the agreement then says of how many frames that was. Frames on which
    earlier plans failed come first.

    Args:
        engine: what runs the model.
        frames: inputs by name, arrays.
        accuracy: what is to be proved; None looks at every frame.
        answer: what is compared; what the graph says of its outputs by default.
        budget_bytes: of tensors of each cut that are kept for the next plan of the same cut.
        progress: called with (frames done, frames in all) while the unsplit model runs.

    Raises:
        InputError: there are no frames, or the accuracy is not between 0 and 1.
        TensorError: a frame is not what the model takes.
    """

    def __init__(
        self,
        engine: Engine,
        frames: Sequence[Mapping[str, Array]],
        *,
        accuracy: float | None = None,
        answer: Answer | None = None,
        budget_bytes: int = BUDGET_BYTES,
        progress: Progress | None = None,
    ) -> None:
        if not frames:
            raise InputError("accuracy can only be verified on frames, and there are none")
        self.engine, self.frames = engine, frames
        self.answer = answer or answer_of(engine.graph)
        if accuracy is not None:
            check_accuracy(accuracy)
        self.accuracy = accuracy
        self.cuts = RememberedCuts(engine, frames, budget_bytes=budget_bytes)
        whole = engine.part(engine.graph.inputs, engine.graph.outputs)
        self.expected = []
        for done, frame in enumerate(frames, start=1):
            self.expected.append(self.answer.of(whole(frame)))
            if progress:
                progress(done, len(frames))
        self._failures = [0] * len(frames)

    def __call__(self, plan: Plan) -> Agreement:
        """How many frames get the answer of the unsplit model.

        Raises:
            CodecError: a codec is unknown or does not take its tensor.
            ModelError: the plan's layers are no partition of this model.
        """
        return self.verify(plan.edge, {sent.tensor: sent.codec for sent in plan.sent})

    def verify(self, edge: Sequence[str], ways: Mapping[str, str]) -> Agreement:
        """The same for a partition and the codec of each tensor it sends; tensors that are not named travel raw."""
        cut = self.cuts.of(edge)

        def outputs_of(index: int) -> Outputs:
            made = cut.made(index)
            received = {name: travel(ways.get(name, "raw"), made[name]) for name in cut.head.tensors.sent}
            return cut.tail({**made, **received})

        return self.judge(outputs_of)

    def judge(self, outputs_of: Callable[[int], Outputs], *, frames: Sequence[int] | None = None) -> Agreement:
        """How often these outputs are an answer of the unsplit model, however they came about.

        Args:
            outputs_of: the outputs for the frame of a number.
            frames: the numbers of the frames to look at; all by default.
        """
        looked_at = range(len(self.frames)) if frames is None else frames
        count = len(looked_at)
        allowed = count if self.accuracy is None else disagreeing_allowed(self.accuracy, count)
        disagreeing = 0
        hardest_first = sorted(looked_at, key=lambda index: -self._failures[index])
        for done, index in enumerate(hardest_first, start=1):
            if not self.answer.same(self.expected[index], self.answer.of(outputs_of(index))):
                disagreeing += 1
                self._failures[index] += 1
            # Where even no disagreement proves it, the first frame settles nothing: all are looked at, and said.
            if 0 <= allowed < disagreeing and done < count:
                return Agreement(done - disagreeing, done, decided=True)
        return Agreement(count - disagreeing, count)

    def to_prove(self, accuracy: float | None) -> FrameVerifier:
        """The same for another accuracy, without running the unsplit model again.

        Raises:
            InputError: the accuracy is not between 0 and 1.
        """
        if accuracy is not None:
            check_accuracy(accuracy)
        other = copy(self)
        other.accuracy = accuracy
        return other


def travel(codec: str, array: Array) -> Array:
    """What arrives of a tensor.

    Raises:
        CodecError: the codec is unknown or does not take it.
    """
    found = codecs.get(codec)
    return found.decode(found.encode(array), array.dtype.name, array.shape)
