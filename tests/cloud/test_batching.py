"""Batches of one tail: what they answer, when they are believed, and when they are worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.cloud.batching import Answer, Batching
from dnn_surgery.errors import TensorError
from dnn_surgery.execution.engine import Array, Engine, Part
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.tracing import trace
from tests.cloud.network import assert_equal, head, make, random_input

FRAMES = 5


class Clock:
    """Seconds that pass only where a tail runs."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Timed(Part):
    """A tail that takes so many seconds alone, and so many for a batch; `wrong` is added to what a batch answers."""

    def __init__(self, tail: Part, clock: Clock, *, batch_s: float = 1.0, wrong: float = 0.0) -> None:
        self.inputs, self.outputs = tail.inputs, tail.outputs
        self._tail, self._clock, self._batch_s, self._wrong = tail, clock, batch_s, wrong

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        return self._tail.run(tensors)

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        self._clock.now_s += 1.0
        return self._tail(tensors)

    def stack(self, frames: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        self._clock.now_s += self._batch_s
        return [
            {name: array + np.float32(self._wrong) for name, array in one.items()} for one in self._tail.stack(frames)
        ]


def whole(engine: Engine) -> Part:
    return engine.part(engine.graph.inputs, engine.graph.outputs)


def assert_near(answers: Sequence[Answer], expected: Sequence[Mapping[str, Array]]) -> None:
    for answer, right in zip(answers, expected, strict=True):
        assert isinstance(answer, dict)
        assert answer.keys() == right.keys()
        for name, array in right.items():
            assert answer[name].shape == array.shape
            np.testing.assert_allclose(answer[name], array, rtol=1e-4, atol=1e-5)


def test_the_first_batch_is_answered_by_single_runs_and_later_ones_are_as_near_as_it_was(engine: Engine) -> None:
    tail, clock = whole(engine), Clock()
    timed, batching = Timed(tail, clock), Batching(engine, clock=clock)
    frames = [{engine.graph.inputs[0]: random_input(number)} for number in range(FRAMES)]
    expected = [tail(frame) for frame in frames]
    assert batching.allows(frames[0], tail.outputs)
    for answer, right in zip(batching.run("cut", timed, frames), expected, strict=True):
        assert isinstance(answer, dict)
        assert_equal(answer, right)
    before_s = clock.now_s
    assert_near(batching.run("cut", timed, frames), expected)
    assert clock.now_s == before_s + 1.0


@pytest.mark.parametrize("cut", ["layer1.0.conv2", "layer3.1.conv2", "layer4.1.conv2"])
def test_tails_of_the_zoo_can_be_stacked(cut: str) -> None:
    graph = load_model("resnet18")
    engine = make_engine(graph, device="cpu", threads=1)
    (name,) = graph.inputs
    rng = np.random.default_rng(0)
    shape = [size or 1 for size in graph.tensors[name].shape]
    pictures = [{name: rng.integers(0, 256, shape, np.uint8)} for _ in range(3)]
    frames = [head(engine, graph.edge_layers(cut), picture)[0] for picture in pictures]
    tail = engine.part(tuple(frames[0]), graph.outputs)
    batching = Batching(engine, clock=Clock())
    for _ in range(2):
        answers = batching.run(cut, tail, frames)
    assert_near(answers, [tail(frame) for frame in frames])
    assert batching._known[cut].stacks


def test_a_batch_that_answers_something_else_is_never_made_again(engine: Engine) -> None:
    tail, clock = whole(engine), Clock()
    timed, batching = Timed(tail, clock, wrong=1.0), Batching(engine, clock=clock)
    frames = [{engine.graph.inputs[0]: random_input(number)} for number in range(FRAMES)]
    for _ in range(3):
        batching.ran_alone("cut", 1.0)
    assert batching.pays("cut")
    for answer, frame in zip(batching.run("cut", timed, frames), frames, strict=True):
        assert isinstance(answer, dict)
        assert_equal(answer, tail(frame))
    assert not batching.pays("cut")


class Words(nn.Module):
    """Means of ten words' vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(10, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.vectors(ids).mean(1)


def test_a_frame_that_no_batch_can_hold_is_answered_alone_and_the_others_rightly() -> None:
    graph = trace(Words().eval(), (torch.zeros(1, 3, dtype=torch.int64),), name="words")
    engine = make_engine(graph, device="cpu", threads=1)
    tail, batching = whole(engine), Batching(engine, clock=Clock())
    frames = [{graph.inputs[0]: np.full((1, 3), number, np.int64)} for number in range(4)]
    expected = [tail(frame) for frame in frames]
    batching.run("cut", tail, frames)
    assert batching._known["cut"].stacks
    frames[1] = {graph.inputs[0]: np.full((1, 3), 99, np.int64)}
    answers = batching.run("cut", tail, frames)
    assert isinstance(answers[1], TensorError)
    assert_near([answers[0], *answers[2:]], [expected[0], *expected[2:]])


@pytest.mark.parametrize(("batch_s", "pays"), [(FRAMES * 0.9, True), (FRAMES * 1.0, False)])
def test_what_is_no_faster_is_left_until_much_has_run(batch_s: float, pays: bool) -> None:
    engine, clock = make(), Clock()
    timed, batching = Timed(whole(engine), clock, batch_s=batch_s), Batching(engine, clock=clock)
    frames = [{engine.graph.inputs[0]: random_input(number)} for number in range(FRAMES)]
    assert not batching.pays("cut"), "nothing is known of it yet"
    for _ in range(3):
        batching.ran_alone("cut", 1.0)
    for _ in range(4):
        assert batching.pays("cut")
        batching.run("cut", timed, frames)
    assert batching.pays("cut") == pays
    for _ in range(500):
        batching.ran_alone("cut", 1.0)
    assert batching.pays("cut")
