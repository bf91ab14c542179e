"""From frames to a plan whose answers are proved, on a small trained-like network and a real one's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dnn_surgery import codecs
from dnn_surgery.calibration.calibration import Calibration, with_cut
from dnn_surgery.calibration.candidates import boundary_tensors, candidates
from dnn_surgery.calibration.envelope import Envelope
from dnn_surgery.calibration.guard import loses_nothing
from dnn_surgery.calibration.transform_learning import file_name, learn, worth_learning
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.codecs.transform import Transform, TransformParameters
from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.pictures import with_picture
from dnn_surgery.model.tracing import trace
from dnn_surgery.planning import Link, Problem, plan
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile
from tests.edge.networks import build
from tests.evaluation.pictures import IMAGENET

SLOW = Link(bandwidth_bps=2e5, rtt_s=0.001)


@pytest.fixture(scope="module")
def engine() -> Engine:
    example = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    return make_engine(with_picture(trace(build(), (example,), name="small")), device="cpu", threads=1)


@pytest.fixture(scope="module")
def frames(engine: Engine) -> list[dict[str, Array]]:
    """The pictures and parts of them."""
    picture = engine.graph.picture
    assert picture is not None
    found = []
    for path in IMAGENET:
        pixels = read_picture(path)
        found += [{picture.tensor: fit(np.ascontiguousarray(pixels[at:, at:]), picture)} for at in (0, 90, 180)]
    return found


@pytest.fixture(scope="module")
def costs(engine: Engine) -> Profile:
    return profile(engine.graph, engine=engine, repeats=2, warmup=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_exact_measures_what_loses_nothing_and_plans_with_it(
    engine: Engine, frames: list[dict[str, Array]], costs: Profile
) -> None:
    calibration = Calibration(frames)
    measured = calibration.measured(engine, costs)
    assert {one.codec for one in measured.codecs} == {"zstd", "png", "webp-lossless"}
    assert all(
        one.frames == 6 and one.encode_s > 0 and one.p95_bytes >= one.mean_bytes * 0.5 for one in measured.codecs
    )
    assert calibration.measured(engine, measured) is measured
    problem = calibration.problem(measured, measured, 50)
    left, guarded = calibration.plan(engine, problem, lambda asked: plan(asked, SLOW))
    assert left == problem
    assert guarded.passed.agreement is None
    assert loses_nothing(guarded.plan)
    # A PNG of a photograph is smaller than its pixels: on a slow link it pays.
    assert all(codecs.get(one.codec).lossless for one in guarded.plan.sent)


def test_a_share_is_proved_or_the_plan_is_passed_over(
    engine: Engine, frames: list[dict[str, Array]], costs: Profile
) -> None:
    told: list[str] = []
    calibration = Calibration(frames, 0.9, report=told.append)
    measured = calibration.measured(engine, costs)
    problem = with_cut(calibration.problem(measured, measured, 8), engine.graph.edge_layers("first.0"))
    left, guarded = calibration.plan(engine, problem, lambda asked: plan(asked, SLOW))
    assert set(guarded.plan.edge) == set(engine.graph.edge_layers("first.0"))
    assert len(left.forbidden) == len(guarded.failed)
    judge = FrameVerifier(engine, frames)
    if guarded.passed.agreement is not None:
        assert judge(guarded.plan) == guarded.passed.agreement
        assert guarded.passed.agreement.bound >= 0.9
    for failed in guarded.failed:
        assert judge(failed.plan).bound < 0.9
    assert "running the unsplit model on 60 frames" in told
    again = Calibration(frames, 0.9, report=told.append)
    told.clear()
    assert again.plan(engine, problem, lambda asked: plan(asked, SLOW))[1] == guarded
    assert told == []


def test_a_guarded_frontier_of_a_real_engine(engine: Engine, frames: list[dict[str, Array]], costs: Profile) -> None:
    calibration = Calibration(frames, 0.9)
    measured = calibration.measured(engine, costs)
    envelope = Envelope(1e5, 1e7, rtts_s=(0.01,), edge_loads=(1.0,), cloud_loads=(1.0,), objectives=("latency",))
    found = calibration.frontier(engine, calibration.problem(measured, measured, 50), envelope)
    assert found.complete
    judge = FrameVerifier(engine, frames)
    for one in (*found.verified, *found.failed):
        assert (judge(one.plan).bound >= 0.9) == (one in found.verified)


def test_frames_that_codecs_were_learnt_from_prove_nothing(
    engine: Engine, frames: list[dict[str, Array]], costs: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "_registered", {})
    graph = engine.graph
    tensors = worth_learning(graph)
    assert tensors
    seen: list[tuple[int, int]] = []
    learnt = list(learn(engine, frames[:20], tensors, steps=(0.05, 0.5), progress=lambda *done: seen.append(done)))
    assert [(one.parameters.tensor, one.step) for one in learnt] == [(t, s) for t in tensors for s in (0.05, 0.5)]
    assert seen == [(n, len(tensors)) for n in range(len(tensors) + 1)]
    for one in learnt:
        path = tmp_path / file_name(one)
        assert path.suffix == ".klt"
        one.parameters.save(path)
        codecs.register(Transform(TransformParameters.load(path)))
    fine, coarse = (Transform(one.parameters) for one in learnt[:2])
    made = engine.part(graph.inputs, (tensors[0],))(frames[30])[tensors[0]]
    assert len(coarse.encode(made)) < len(fine.encode(made)) < made.nbytes / 3
    tried = candidates(graph, boundary_tensors(graph, costs), lossy=True)
    assert {fine.id, coarse.id} <= set(tried[tensors[0]])
    assert not any(fine.id in names for tensor, names in tried.items() if tensor != tensors[0])
    assert len(Calibration(frames, 0.9).held_out) == len(frames) - 20
    with pytest.raises(InputError, match="were learnt from"):
        Calibration(frames[:20], 0.9)
    assert Calibration(frames[:20]).frames == frames[:20]
    with pytest.raises(InputError, match="there are none"):
        list(learn(engine, [], tensors))


def test_a_codec_of_the_profile_that_is_not_known_here_is_not_tried(
    engine: Engine, frames: list[dict[str, Array]], costs: Profile
) -> None:
    calibration = Calibration(frames, 0.9)
    measured = calibration.measured(engine, costs)
    strange = replace(measured.codecs[0], codec="klt-0123456789abcdef", mean_bytes=1.0)
    problem = calibration.problem(replace(measured, codecs=(*measured.codecs, strange)), costs)
    names = {way.name for layer in problem.layers for tensor in layer.outputs for way in tensor.ways}
    assert "int8c+zstd" in names
    assert strange.codec not in names


def test_too_few_frames_are_said(frames: list[dict[str, Array]]) -> None:
    assert Calibration(frames).shortage is None
    assert Calibration(frames[:35], 0.9).shortage is None
    assert Calibration(frames[:34], 0.9).shortage == ("34 frames cannot prove 0.9: it takes at least 35 that all agree")
    with pytest.raises(InputError, match="there are none"):
        Calibration([])


def test_the_candidates_take_their_tensors(engine: Engine, costs: Profile) -> None:
    graph = engine.graph
    tried = candidates(graph, boundary_tensors(graph, costs), lossy=True)
    assert {"jpeg85-444", "webp-lossless"} <= set(tried[graph.inputs[0]])
    assert "zstd" not in tried[graph.inputs[0]]
    for tensor, names in tried.items():
        kind = graph.tensors[tensor]
        assert all(codecs.get(name).accepts(kind.dtype, kind.shape) for name in names)
    assert candidates(graph, graph.inputs, lossy=True, names=["zstd", "jpeg9", "int8"]) == {
        graph.inputs[0]: ("zstd", "jpeg9")
    }
    assert candidates(graph, graph.inputs, lossy=False, names=["int8"]) == {}


def test_a_problem_with_a_cut_leaves_its_codecs_to_plan(engine: Engine, costs: Profile) -> None:
    problem = Problem.from_profiles(costs, costs)
    edge = engine.graph.edge_layers("first.0")
    assert set(plan(with_cut(problem, edge), SLOW).edge) == set(edge)
