"""Runs a plan's partition with its codecs on calibration frames and compares with the unsplit model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement, disagreeing_allowed
from dnn_surgery.calibration.answers import Answer, answer_of, top1
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import Head, Tail
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
        progress: Progress | None = None,
    ) -> None:
        if not frames:
            raise InputError("accuracy can only be verified on frames, and there are none")
        self.engine, self.frames = engine, frames
        self.answer = answer or answer_of(engine.graph)
        self.allowed = len(frames) if accuracy is None else disagreeing_allowed(accuracy, len(frames))
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
        head, tail = Head(self.engine, edge), Tail(self.engine, edge)
        disagreeing = 0
        hardest_first = sorted(range(len(self.frames)), key=lambda index: -self._failures[index])
        for done, index in enumerate(hardest_first, start=1):
            made = head(self.frames[index])
            received = {name: travel(ways.get(name, "raw"), made[name]) for name in head.tensors.sent}
            if not self.answer.same(self.expected[index], self.answer.of(tail({**made, **received}))):
                disagreeing += 1
                self._failures[index] += 1
            # Where even no disagreement proves it, the first frame settles nothing: all are looked at, and said.
            if 0 <= self.allowed < disagreeing and done < len(self.frames):
                return Agreement(done - disagreeing, done, decided=True)
        return Agreement(len(self.frames) - disagreeing, len(self.frames))


def travel(codec: str, array: Array) -> Array:
    """What arrives of a tensor.

    Raises:
        CodecError: the codec is unknown or does not take it.
    """
    found = codecs.get(codec)
    return found.decode(found.encode(array), array.dtype.name, array.shape)
