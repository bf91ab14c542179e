"""A profile of other conditions than the run's is named as such."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dnn_surgery.execution.engine import EngineInfo
from dnn_surgery.profiling.conditions import differences, threads_of
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.profiling.rounds import machine_name

HERE = EngineInfo("torch", "2.13", "cpu", "cpu", 1)
PROFILE = Profile(
    model="m",
    fingerprint="f",
    layers=(),
    outputs=(),
    whole_s=1.0,
    whole_spread_s=0.0,
    repeats=1,
    warmup=0,
    device={"name": "cpu", "kind": "cpu", "machine": machine_name()},
    engine={"name": "torch", "version": "2.6", "threads": 1},
)


def test_another_version_of_the_same_engine_is_no_difference() -> None:
    assert differences(PROFILE, HERE) is None
    assert differences(replace(PROFILE, device={}, engine={}), HERE) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(HERE, threads=2), "threads 1, not 2"),
        (replace(HERE, name="onnxruntime"), "engine torch, not onnxruntime"),
        (replace(HERE, device="cuda:0"), "device cpu, not cuda:0"),
    ],
)
def test_what_differs_is_named(other: EngineInfo, said: str) -> None:
    found = differences(PROFILE, other)
    assert found is not None
    assert f"({said})" in found


def test_another_machine_is_named() -> None:
    found = differences(replace(PROFILE, device={"machine": "Raspberry Pi 4"}), HERE)
    assert found is not None
    assert "machine Raspberry Pi 4, not " in found


@pytest.mark.parametrize(("threads", "taken"), [(3, 3), (0, None), (True, None), ("2", None), (None, None)])
def test_threads_are_taken_where_they_make_sense(threads: Any, taken: int | None) -> None:
    assert threads_of(replace(PROFILE, engine={"threads": threads})) == taken
