"""A profile that `run` and `serve` are given: its threads are taken, and what differs is told."""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dnn_surgery.cli.main import main
from dnn_surgery.cli.profile_file import load_profile
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.processors import OtherWork
from dnn_surgery.profiling.profile import Profile
from tests.cli.serving import serving
from tests.evaluation.pictures import IMAGENET

MODEL = ("tests.edge.networks:build", "--trust-model", "--device", "cpu")


@pytest.fixture(scope="module")
def measured() -> Profile:
    graph = load_model(MODEL[0], trust_model=True)
    return profile(graph, engine=make_engine(graph, device="cpu", threads=1), repeats=1, warmup=0)


@pytest.fixture
def of_two_threads(measured: Profile, tmp_path: Path) -> str:
    path = tmp_path / "two.json"
    replace(measured, engine={**measured.engine, "threads": 2}, busy=OtherWork(0.5, 0.0, 9.0)).save(path)
    return str(path)


@pytest.mark.parametrize(("asked", "taken"), [(None, 2), (1, 1)])
def test_threads_are_the_profiles_unless_a_flag_says_others(of_two_threads: str, asked: int, taken: int) -> None:
    arguments = argparse.Namespace(profile=of_two_threads, threads=asked)
    assert load_profile(arguments) is not None
    assert arguments.threads == taken


def test_serve_and_run_say_that_a_profile_is_of_other_conditions(
    of_two_threads: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    Image.open(IMAGENET[0]).save(picture)
    said = "the profile is of other conditions than this run (threads 2, not 1): its seconds are not this run's"
    with serving(*MODEL, "--threads", "1", "--profile", of_two_threads, "--port", "0", "--json") as server:
        link = ("--server", server.event["address"], "--bandwidth", "100Mbit/s")
        options = ("--threads", "1", "--profile", of_two_threads, "--source", str(picture), "--json")
        assert main(["run", *MODEL, *link, *options]) == 0
        errors = capsys.readouterr().err
        assert f"dnn-surgery: notice: {said}" in errors
        assert "notice: the edge's profile was taken on a busy machine: other work took 50%" in errors
        assert said in server.end(signal.SIGTERM)[1]


def test_a_plan_from_a_busy_machine_says_so(of_two_threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["plan", of_two_threads, "--bandwidth", "5Mbit/s"]
    assert main(plan) == 0
    assert "Take it with care: the profile was taken on a busy machine: other work took 50%" in capsys.readouterr().out
    assert main([*plan, "--json"]) == 0
    assert "notice: the profile was taken on a busy machine" in capsys.readouterr().err
