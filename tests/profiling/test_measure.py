"""Profiles: a counting clock makes every figure exact."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dnn_surgery.errors import InputError, ProfileError, TensorError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.planning import Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.processors import OtherWork
from dnn_surgery.profiling.profile import Profile, TensorSize


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    torch.manual_seed(0)
    return trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval(), torch.ones(1, 4), name="tiny")


class ScriptedClock:
    """Every timed call takes the next of the given durations, over and over."""

    def __init__(self, durations: list[float]) -> None:
        self.durations, self.now, self.calls = durations, 0.0, 0

    def __call__(self) -> float:
        if self.calls % 2:
            self.now += self.durations[self.calls // 2 % len(self.durations)]
        self.calls += 1
        return self.now


def a_round(first: float, second: float, whole: float, call: float = 0.0, leave: float = 0.0) -> list[float]:
    """What is timed in a round, in order; each tensor leaves the engine and enters it again after it is made."""
    return [leave, 2 * leave, first, leave, 2 * leave, second, leave, 2 * leave, whole, call]


def test_layers_are_scaled_to_the_measured_whole(graph: ModelGraph) -> None:
    # Two layers of 1 s and 3 s, a whole of 2 s: each layer counts half.
    measured = profile(graph, repeats=3, warmup=0, clock=ScriptedClock(a_round(1, 3, 2)))
    assert [layer.name for layer in measured.layers] == ["input", "0", "2"]
    assert [layer.seconds for layer in measured.layers] == [0.0, 0.5, 1.5]
    assert measured.whole_s == 2.0
    assert measured.whole_spread_s == 0.0


def test_what_a_call_costs_is_taken_off_each_layer_and_counts_once(graph: ModelGraph) -> None:
    measured = profile(graph, repeats=3, warmup=0, clock=ScriptedClock(a_round(3, 5, 8, call=2)))
    assert [layer.seconds for layer in measured.layers] == [0.0, 1.5, 4.5]
    assert (measured.call_s, measured.whole_s) == (2.0, 8.0)


def test_ways_out_and_in_are_measured_tensor_by_tensor(graph: ModelGraph) -> None:
    measured = profile(graph, repeats=3, warmup=0, clock=ScriptedClock(a_round(1, 1, 2, leave=0.25)))
    assert [tensor for layer in measured.layers for tensor in layer.outputs] == [
        TensorSize("input", 16, leave_s=0.25, enter_s=0.5),
        TensorSize("0", 32, leave_s=0.25, enter_s=0.5),
        TensorSize("2", 8, leave_s=0.25, enter_s=0.5),
    ]


def test_warm_up_rounds_do_not_count(graph: ModelGraph) -> None:
    durations = a_round(100, 100, 100) * 2 + a_round(1, 1, 2) * 4
    measured = profile(graph, repeats=4, warmup=2, clock=ScriptedClock(durations))
    assert measured.whole_s == 2.0
    assert (measured.repeats, measured.warmup) == (4, 2)


def test_the_median_shrugs_at_one_slow_round(graph: ModelGraph) -> None:
    rounds = a_round(1, 1, 2) + a_round(90, 90, 180) + a_round(1, 1, 2)
    measured = profile(graph, repeats=3, warmup=0, clock=ScriptedClock(rounds))
    assert measured.whole_s == 2.0
    assert measured.whole_spread_s == 89.0


def test_progress_counts_every_round(graph: ModelGraph) -> None:
    seen: list[tuple[int, int]] = []
    profile(graph, repeats=2, warmup=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_it_says_what_was_measured(graph: ModelGraph) -> None:
    measured = profile(graph, repeats=1, warmup=0)
    assert measured.fingerprint == graph.fingerprint
    assert measured.outputs == graph.outputs
    assert measured.engine["name"] == "torch"
    assert measured.engine["threads"] == torch.get_num_threads()
    assert measured.device["kind"].startswith(("cpu", "cuda"))
    assert [tensor.bytes for layer in measured.layers for tensor in layer.outputs] == [16, 32, 8]
    assert [layer.param_bytes for layer in measured.layers] == [0, (4 * 8 + 8) * 4, (8 * 2 + 2) * 4]


def test_a_file_gives_back_what_was_saved(graph: ModelGraph, tmp_path: Path) -> None:
    measured = profile(graph, repeats=1, warmup=0)
    measured.save(tmp_path / "here.json")
    text = (tmp_path / "here.json").read_text()
    assert next(iter(json.loads(text))) == "schema"
    assert Profile.load(tmp_path / "here.json") == measured


def test_bad_input(graph: ModelGraph, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1 repeat"):
        profile(graph, repeats=0)
    with pytest.raises(TensorError, match=r"'input' has shape \[1, 5\], expected \[1, 4\]"):
        profile(graph, {"input": torch.ones(1, 5).numpy()})
    with pytest.raises(ProfileError, match="cannot read profile"):
        Profile.load(tmp_path / "absent.json")


def test_every_fault_in_a_file_is_one_line_that_names_the_place(graph: ModelGraph) -> None:
    sound = json.loads(profile(graph, repeats=1, warmup=0).to_json())
    Profile.from_json(
        json.dumps(
            {key: value for key, value in sound.items() if key not in ("schema", "versions", "call_s", "measured")}
        )
    )
    for text, message in (
        ("{", "not JSON"),
        ("[]", "expected an object, got list"),
        (json.dumps({**sound, "schema": "dnn-surgery/plan/1"}), "schema is 'dnn-surgery/plan/1'"),
        (json.dumps({**sound, "colour": 1}), "unknown key 'colour'"),
        ("{}", "key 'model' is missing"),
        (json.dumps({**sound, "layers": 5}), "layers cannot be 5"),
        (json.dumps({**sound, "layers": [5]}), r"layers\[0\]: expected an object, got int"),
        (json.dumps({**sound, "whole_s": -1}), "whole_s must be finite and not negative, got -1"),
        (json.dumps({**sound, "whole_s": float("nan")}), "whole_s must be finite"),
        (json.dumps({**sound, "outputs": [1]}), "outputs: expected names"),
        (json.dumps({**sound, "measured": [{"edge": ["input"]}]}), r"measured\[0\]: key 'head_s' is missing"),
        (json.dumps({**sound, "measured": [{"edge": [1], "head_s": 1, "tail_s": 1}]}), r"measured\[0\].edge: expected"),
        (json.dumps({**sound, "call_s": "short"}), "call_s cannot be 'short'"),
    ):
        with pytest.raises(ProfileError, match=message) as raised:
            Profile.from_json(text)
        assert "\n" not in str(raised.value)


def test_a_warm_up_lasts_until_two_rounds_take_as_long(graph: ModelGraph) -> None:
    # The third and the fourth whole take as long; the rounds before them get faster.
    durations = a_round(1, 1, 8) + a_round(1, 1, 5) + a_round(1, 1, 3) + a_round(1, 1, 3) * 4
    seen: list[tuple[int, int]] = []
    measured = profile(
        graph,
        repeats=3,
        warmup=2,
        clock=ScriptedClock(durations),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (measured.whole_s, measured.warmup, measured.repeats) == (3.0, 4, 3)
    assert seen[-1] == (7, 7)


def test_a_warm_up_that_never_settles_ends(graph: ModelGraph) -> None:
    measured = profile(graph, repeats=3, warmup=2, clock=ScriptedClock(a_round(1, 1, 1) + a_round(1, 1, 2)))
    assert (measured.warmup, measured.repeats) == (6, 3)


def test_a_busy_machine_stands_in_the_file_and_in_plans_made_from_it(graph: ModelGraph, tmp_path: Path) -> None:
    quiet = replace(profile(graph, repeats=1, warmup=0), busy=None)
    assert "busy" not in json.loads(quiet.to_json())
    assert Problem.from_profiles(quiet, quiet).notices == ()
    busy = replace(quiet, busy=OtherWork(0.42, 0.0, 12.0))
    busy.save(tmp_path / "busy.json")
    read = Profile.load(tmp_path / "busy.json")
    assert read == busy
    (notice,) = Problem.from_profiles(read, quiet).notices
    assert notice == (
        "the edge's profile was taken on a busy machine: other work took 42% of its processors, and it was "
        "interrupted 12 times a second"
    )
    for wrong, message in ((5, "busy cannot be 5"), ({"others_share": 1.0}, "busy: key 'steal_share' is missing")):
        with pytest.raises(ProfileError, match=message):
            Profile.from_json(json.dumps({**json.loads(busy.to_json()), "busy": wrong}))


def test_it_is_pinned_unless_told_otherwise(graph: ModelGraph) -> None:
    assert "processors" not in profile(graph, repeats=1, warmup=0, pin=False).engine
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        engine = make_engine(graph, device="cpu", threads=1)
        assert len(profile(graph, engine=engine, repeats=1, warmup=0).engine["processors"]) == 1
