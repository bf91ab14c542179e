"""What is measured of codecs: sizes are the payloads' own, seconds are the clock's, files keep them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery import codecs
from dnn_surgery.errors import CodecError, InputError, ProfileError, TensorError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.planning import Problem
from dnn_surgery.profiling.codec_cost import CodecMeasure
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.measure_codecs import applicable, measure_codecs
from dnn_surgery.profiling.profile import Profile


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    torch.manual_seed(0)
    return trace(TwoLayers().eval(), torch.zeros(1, 3, 12, 12), name="two")


@pytest.fixture(scope="module")
def measured(graph: ModelGraph) -> Profile:
    return profile(graph, repeats=1, warmup=0)


def frames(count: int) -> list[dict[str, Array]]:
    draw = np.random.default_rng(3)
    return [{"x": draw.normal(scale=k + 1, size=(1, 3, 12, 12)).astype(np.float32)} for k in range(count)]


def middle_of(graph: ModelGraph) -> str:
    (tensor,) = graph.layer["first"].outputs
    return tensor


def test_bytes_are_those_of_the_payloads(graph: ModelGraph) -> None:
    engine, middle = make_engine(graph), middle_of(graph)
    given = frames(20)
    found = measure_codecs(engine, iter(given), {middle: ["zstd", "int4c"], "x": ["fp16"]})
    assert [(one.tensor, one.codec, one.lossless) for one in found] == [
        (middle, "zstd", True),
        (middle, "int4c", False),
        ("x", "fp16", False),
    ]
    part = engine.part(("x",), (middle,))
    sizes = [len(codecs.encode("zstd", part(frame)[middle])) for frame in given]
    assert found[0].mean_bytes == pytest.approx(np.mean(sizes))
    assert found[0].p95_bytes == pytest.approx(np.percentile(sizes, 95))
    assert found[2].mean_bytes == found[2].p95_bytes == 2 * 3 * 12 * 12
    assert {one.frames for one in found} == {20}


def test_seconds_are_the_medians_of_the_clock(graph: ModelGraph) -> None:
    # Start, end of encoding, end of decoding; the first three readings belong to the warm-up.
    readings = iter([0, 50, 99, 100, 101, 103, 200, 203, 209, 300, 302, 303])
    (found,) = measure_codecs(make_engine(graph), frames(3), {"x": ["fp16"]}, clock=lambda: float(next(readings)))
    assert (found.encode_s, found.decode_s) == (2.0, 2.0)


def test_what_cannot_be_measured(graph: ModelGraph) -> None:
    engine = make_engine(graph)
    with pytest.raises(InputError, match="there are none"):
        measure_codecs(engine, [], {"x": ["fp16"]})
    with pytest.raises(CodecError, match="unknown codec"):
        measure_codecs(engine, frames(1), {"x": ["fp17"]})
    with pytest.raises(CodecError, match="takes an RGB picture"):
        measure_codecs(engine, frames(1), {"x": ["png"]})
    with pytest.raises((TensorError, KeyError)):
        measure_codecs(engine, frames(1), {"y": ["fp16"]})


def test_codecs_that_take_a_tensor(graph: ModelGraph) -> None:
    assert applicable(graph, "x", ["raw", "png", "int8c", "jpeg95", "zstd"]) == ("raw", "int8c", "zstd")


def measure(tensor: str, codec: str, **changes: object) -> CodecMeasure:
    base = CodecMeasure(tensor, codec, codecs.get(codec).lossless, 30, 100.5, 120.0, 0.25, 0.5)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_file_keeps_them_and_older_files_are_read(graph: ModelGraph, measured: Profile) -> None:
    middle = middle_of(graph)
    with_codecs = replace(measured, codecs=(measure(middle, "zstd"), measure("x", "fp16", decode_s=1)))
    assert Profile.from_json(with_codecs.to_json()) == with_codecs
    assert "codecs" not in json.loads(measured.to_json())
    assert Profile.from_json(measured.to_json()).codecs == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lossless": 1}, r"codecs\[0\]: lossless cannot be 1"),
        ({"mean_bytes": -1}, r"codecs\[0\]: mean_bytes must be finite and not negative"),
        ({"mean_bytes": True}, r"codecs\[0\]: mean_bytes cannot be True"),
        ({"what": 1}, r"codecs\[0\]: unknown key 'what'"),
    ],
)
def test_a_damaged_measure_is_named(measured: Profile, change: dict[str, object], message: str) -> None:
    document = json.loads(replace(measured, codecs=(measure("x", "fp16"),)).to_json())
    document["codecs"][0].update(change)
    with pytest.raises(ProfileError, match=message):
        Profile.from_json(json.dumps(document))


def ways_of(problem: Problem, tensor: str) -> dict[str, tuple[float, float, float]]:
    (found,) = [t for layer in problem.layers for t in layer.outputs if t.name == tensor]
    return {way.name: (way.size_bytes, way.encode_s, way.decode_s) for way in found.ways}


def test_problems_admit_what_loses_nothing_unless_told(graph: ModelGraph, measured: Profile) -> None:
    middle = middle_of(graph)
    edge = replace(measured, codecs=(measure(middle, "zstd"), measure(middle, "int8c"), measure(middle, "int4c")))
    cloud = replace(measured, codecs=(measure(middle, "zstd", decode_s=0.125),))
    exact = ways_of(Problem.from_profiles(edge, cloud, 4.0), middle)
    assert exact.keys() == {"raw", "zstd"}
    # What raw costs is a tensor's way out of the engine and into the other; it comes on top.
    _, leave_s, enter_s = exact["raw"]
    assert leave_s > 0
    assert enter_s > 0
    assert exact["zstd"] == pytest.approx((100.5, 1.0 + leave_s, 0.125 + enter_s))
    lossy = ways_of(Problem.from_profiles(edge, cloud, 4.0, codecs=["int8c", "zstd"]), middle)
    assert lossy.keys() == {"raw", "zstd", "int8c"}
    assert lossy["int8c"] == pytest.approx((100.5, 1.0 + leave_s, 0.5 + enter_s))
    assert ways_of(Problem.from_profiles(edge, cloud, codecs=[]), middle).keys() == {"raw"}
    assert ways_of(Problem.from_profiles(measured, measured), middle).keys() == {"raw"}


def test_measures_of_what_is_not_there_are_refused(graph: ModelGraph, measured: Profile) -> None:
    with pytest.raises(ProfileError, match="name no tensor: 'firsst'"):
        Problem.from_profiles(replace(measured, codecs=(measure("firsst", "zstd"),)), measured)
    twice = replace(measured, codecs=(measure("x", "zstd"), measure("x", "zstd")))
    with pytest.raises(ProfileError, match="'zstd' of tensor 'x' twice"):
        Problem.from_profiles(twice, measured)
