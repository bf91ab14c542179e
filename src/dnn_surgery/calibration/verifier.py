"""Runs a plan's partition with its codecs on calibration frames and compares with the unsplit model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement, disagreeing_allowed
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.planning.plan import Plan

Outputs = Mapping[str, Array]
Answer = Callable[[Outputs], Any]
"""What of a model's outputs counts, to be compared with ``==``."""


def top1(outputs: Outputs) -> tuple[tuple[int, ...], ...]:
    """The classes with the highest scores: of each output `[N, ..., classes]`, in the order of their names."""
    return tuple(tuple(np.argmax(outputs[name], axis=-1).reshape(-1).tolist()) for name in sorted(outputs))


class FrameVerifier:
    """Agreement of plans with the unsplit model on `frames`; callable, a :data:`guard.Verifier`.

    The unsplit model runs once, when this is made. With an `accuracy` a plan is given up as soon as so many frames
    disagree that it cannot be proved any more: the agreement then says of how many frames that was.

    Args:
        engine: what runs the model.
        frames: inputs by name, arrays.
        accuracy: what is to be proved; None looks at every frame.
        answer: what is compared; the top-1 class of every output by default.

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
        answer: Answer = top1,
    ) -> None:
        if not frames:
            raise InputError("accuracy can only be verified on frames, and there are none")
        self.engine, self.frames, self.answer = engine, frames, answer
        self.allowed = len(frames) if accuracy is None else disagreeing_allowed(accuracy, len(frames))
        whole = engine.part(engine.graph.inputs, engine.graph.outputs)
        self.expected = [answer(whole(frame)) for frame in frames]

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
        for index, (frame, expected) in enumerate(zip(self.frames, self.expected, strict=True)):
            made = head(frame)
            received = {name: travel(ways.get(name, "raw"), made[name]) for name in head.tensors.sent}
            disagreeing += self.answer(tail({**made, **received})) != expected
            # Where even no disagreement proves it, the first frame settles nothing: all are looked at, and said.
            if 0 <= self.allowed < disagreeing and index + 1 < len(self.frames):
                return Agreement(index + 1 - disagreeing, index + 1, decided=True)
        return Agreement(len(self.frames) - disagreeing, len(self.frames))


def travel(codec: str, array: Array) -> Array:
    """What arrives of a tensor.

    Raises:
        CodecError: the codec is unknown or does not take it.
    """
    found = codecs.get(codec)
    return found.decode(found.encode(array), array.dtype.name, array.shape)
