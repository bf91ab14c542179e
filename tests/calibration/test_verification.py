"""Predicted against measured, on an engine whose every second is known."""

from __future__ import annotations

import pytest

from dnn_surgery.calibration.cut_times import measure_cuts
from dnn_surgery.calibration.verification import Verification, compare, quantile, verify
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.profiling.measure import profile
from tests.calibration.clocked_engine import ClockedEngine, graph_of

CHAIN = graph_of({"in": (), "a": ("in",), "b": ("a",), "c": ("b",)}, ["c"])
# Between a and c stands a choice of two layers, so b1, b2 and c are one segment.
BLOCK = graph_of({"in": (), "a": ("in",), "b1": ("a",), "b2": ("a",), "c": ("b1", "b2"), "d": ("c",)}, ["d"])


def verified(engine: ClockedEngine) -> Verification:
    return verify(engine, repeats=2, warmup=1, clock=engine.clock)


@pytest.mark.parametrize("graph", [CHAIN, BLOCK], ids=["chain", "block"])
def test_layers_calls_and_conversions_make_up_every_cut_exactly(graph: ModelGraph) -> None:
    layer_s = {layer.name: 2.0**index for index, layer in enumerate(graph.layers)}
    found = verified(ClockedEngine(graph, layer_s, call_s=0.5, leave_s=0.25, enter_s=0.125))
    for cut in found.cuts:
        assert cut.predicted_head_s == pytest.approx(cut.measured.head_s), cut.name
        assert cut.predicted_tail_s == pytest.approx(cut.measured.tail_s), cut.name
        assert (cut.error, cut.error_apart, cut.repeatability) == pytest.approx((0, 0, 0))
    assert {"cloud", "a", "edge"} <= {cut.name for cut in found.cuts}
    # Of a chain: call, the input into the engine, the layer, the tensor out; the tensor in, the others, the result out.
    if graph is CHAIN:
        assert found.cuts[1].measured.head_s == 0.5 + 0.125 + 2 + 0.25
        assert found.cuts[1].measured.tail_s == 0.5 + 0.125 + (4 + 8) + 0.25


def test_what_fuses_inside_a_segment_is_predicted_at_its_ends() -> None:
    layer_s = {"in": 0.0, "a": 1.0, "b1": 2.0, "b2": 2.0, "c": 4.0, "d": 8.0}
    found = verified(ClockedEngine(BLOCK, layer_s, gain={("b2", "c"): 3.0}))
    by_name = {cut.name: cut for cut in found.cuts}
    for name in ("cloud", "a", "c", "edge"):
        assert by_name[name].error_apart == pytest.approx(0), name
    assert by_name["c"].measured.head_s == 1 + (2 + 2 + 4 - 3)


def test_what_fuses_across_segments_is_an_error_that_is_shown() -> None:
    layer_s = {"in": 0.0, "a": 4.0, "b": 4.0, "c": 4.0}
    found = verified(ClockedEngine(CHAIN, layer_s, gain={("a", "b"): 3.0}))
    cut = {cut.name: cut for cut in found.cuts}["a"]
    # Alone each takes 4 s, the whole 9 s: predicted 3 s each. The head takes 4 s, the tail 8 s.
    assert (cut.predicted_head_s, cut.predicted_tail_s) == pytest.approx((3, 6))
    assert (cut.measured.head_s, cut.measured.tail_s) == (4, 8)
    assert cut.error == pytest.approx(-3 / 12)
    assert cut.error_apart == pytest.approx((1 + 2) / 12)
    assert found.p95_error == pytest.approx(quantile([abs(cut.error) for cut in found.cuts], 0.95))
    assert found.median_error == 0.0


def test_errors_of_head_and_tail_cannot_make_up_for_each_other() -> None:
    engine = ClockedEngine(CHAIN, {"in": 0.0, "a": 2.0, "b": 4.0, "c": 6.0})
    told = profile(CHAIN, engine=engine, repeats=1, warmup=0, clock=engine.clock)
    engine.layer_s = {"in": 0.0, "a": 4.0, "b": 2.0, "c": 6.0}
    times = measure_cuts(engine, [("in", "a")], repeats=1, warmup=0, clock=engine.clock)
    (cut,) = compare(engine, told, times)
    assert cut.error == 0
    assert cut.error_apart == pytest.approx(4 / 12)


def test_a_real_network_runs_at_every_cut() -> None:
    engine = make_engine(load_model("tests.edge.networks:build", trust_model=True), device="cpu", threads=1)
    seen: list[tuple[int, int]] = []
    found = verify(engine, repeats=2, warmup=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {"cloud", "edge"} < {cut.name for cut in found.cuts}
    assert all(cut.measured.head_s > 0 and cut.predicted_s > 0 for cut in found.cuts)
    assert (found.profile.repeats, found.profile.model) == (2, "build")
    assert found.profile.call_s > 0


@pytest.mark.parametrize(("repeats", "warmup"), [(0, 1), (1, -1)])
def test_nothing_measured_is_refused(repeats: int, warmup: int) -> None:
    engine = ClockedEngine(CHAIN, {"in": 0.0, "a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(InputError, match=f"got {repeats} and {warmup}"):
        verify(engine, repeats=repeats, warmup=warmup)
    with pytest.raises(InputError, match=f"got {repeats} and {warmup}"):
        measure_cuts(engine, [("in",)], repeats=repeats, warmup=warmup)
