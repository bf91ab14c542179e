"""`run --server-protocol oip` as a process, against a stand-in for Triton in another one, which may die meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.tolerance import TOLERANCE
from dnn_surgery.model.reference import load_model
from tests.cli.serving import confidences, environment, save_pictures
from tests.evaluation.pictures import IMAGENET
from tests.profiling.even import even_profile
from tests.standard_server import standard_server

FACTORY = "tests.edge.networks:build"
MODEL = (FACTORY, "--trust-model", "--threads", "1")
CUT = "first.0"
FRAMES = 12
# Calls with which the edge makes sure that the tail is the right one.
CHECKS = 2


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "models"
    assert main(["export", *MODEL, "--cut", CUT, "--format", "triton", "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def address(repository: Path) -> Iterator[str]:
    with standard_server(repository) as where:
        yield where


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), IMAGENET[:FRAMES], (48, 48))


@pytest.fixture(scope="module")
def expected(pictures: Path) -> list[float]:
    return confidences(FACTORY, pictures)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same model for devices without PyTorch."""
    path = tmp_path_factory.mktemp("bundle") / "small.bundle"
    assert main(["export", *MODEL, "--format", "bundle", "-o", str(path)]) == 0
    return str(path)


def run(*arguments: str) -> tuple[int, list[dict[str, object]], str]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dnn_surgery",
            "run",
            *arguments,
            "--threads",
            "1",
            "--server-protocol",
            "oip",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def assert_all_frames(records: list[dict[str, object]], expected: list[float]) -> None:
    assert [record["index"] for record in records] == list(range(FRAMES))
    assert [record["confidence"] for record in records] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("pytorch", [True, False])
def test_frames_are_finished_by_the_standard_server(
    pytorch: bool, bundle: str, address: str, pictures: Path, expected: list[float]
) -> None:
    model = MODEL if pytorch else (bundle,)
    code, records, errors = run(*model, "--server", address, "--source", str(pictures), "--cut", CUT)
    assert code == 0, errors
    assert_all_frames(records, expected)
    assert {(record["finished_by"], record["cut"]) for record in records} == {("cloud", CUT)}
    assert "12 answered by the cloud, 0 here" in errors


def test_no_frame_is_lost_when_the_server_is_killed(
    bundle: str, repository: Path, pictures: Path, expected: list[float]
) -> None:
    with standard_server(repository, die_after=CHECKS + 5) as address:
        given = ["--server", address, "--source", str(pictures), "--cut", CUT, "--in-flight", "2"]
        code, records, errors = run(bundle, *given)
    assert code == 0, errors
    assert_all_frames(records, expected)
    by = [record["finished_by"] for record in records]
    # The server runs two requests at once, so one that came before the fatal one may die with it.
    assert by[:4] == ["cloud"] * 4
    assert by[6:] == ["edge"] * (FRAMES - 6)
    assert all(record["failure"] for record in records[6:])


def test_a_profile_of_the_server_decides_among_the_served_cuts(
    bundle: str, address: str, pictures: Path, expected: list[float], tmp_path: Path
) -> None:
    profile = tmp_path / "server.json"
    even_profile(make_engine(load_model(bundle), threads=1)).save(profile)
    both = ["--cloud-profile", str(profile), "--profile", str(profile), "--emulate-slowdown", "50"]
    given = ["--server", address, "--source", str(pictures), "--bandwidth", "10Gbit/s", "--deadline", "60s"]
    code, records, errors = run(bundle, *given, *both)
    assert code == 0, errors
    assert_all_frames(records, expected)
    assert {record["cut"] for record in records} == {"cloud"}
    assert "link 10 Gbit/s" in errors


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--server", "{server}"], (2, "--cloud-profile FILE")),
        (["--server", "{server}", "--cut", "frist"], (2, "no layer 'frist'")),
        (["--server", "{server}", "--cut", "second.0"], (3, "serves no model 'build__second.0'")),
        (["--cut", CUT], (2, "needs --server")),
        (["--server", "127.0.0.1:1", "--cut", CUT], (3, "no server answers at 127.0.0.1:1")),
        (["--server", "{server}", "--cut", CUT, "--algorithm", "dads"], (2, "--algorithm does not go with")),
        (["--server", "{server}", "--cloud-profile", "absent.json"], (2, "absent.json")),
        (
            ["--local", "--cloud-profile", "a.json"],
            (2, "--local sends nothing, so it does not go with --cloud-profile"),
        ),
    ],
)
def test_mistakes_are_one_line_each(
    arguments: list[str], refusal: tuple[int, str], address: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(server=address) for argument in arguments]
    code, message = refusal
    assert main(["run", *MODEL, *given, "--server-protocol", "oip", "--source", str(pictures)]) == code
    assert message in error_line(capsys)


def test_our_own_server_is_asked_for_its_profile(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *MODEL, "--cloud-profile", "a.json", "--source", str(pictures)]) == 2
    assert "--cloud-profile goes with --server-protocol oip" in error_line(capsys)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dnn-surgery: error: ")]
    return line
