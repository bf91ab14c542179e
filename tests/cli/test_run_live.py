"""`dnn-surgery run` as it is left alone: signals, a paused edge, budgets, memory, the trace file."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnn_surgery.cli.main import main
from tests.cli.serving import Serving, environment, serving
from tests.cli.test_run import MODEL, expected, lines, pictures, server
from tests.edge.streaming import free_port
from tests.evaluation.pictures import BIKES

__all__ = ["expected", "pictures", "server"]


def run_command(server: Serving, *arguments: str) -> list[str]:
    address = server.event["address"]
    return [sys.executable, "-m", "dnn_surgery", "run", *MODEL, "--server", address, "--json", *arguments]


@contextmanager
def running(server: Serving, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    process = subprocess.Popen(
        run_command(server, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def receipt_of(errors: str) -> dict[str, Any]:
    (record,) = [json.loads(line) for line in errors.splitlines() if line.startswith('{"event": "receipt"')]
    return dict(record)


def read_frames(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_every_frame_answered_and_a_receipt(number: signal.Signals, server: Serving) -> None:
    with running(server, "--source", str(BIKES), "--rate", "20", "--cut", "first.0") as process:
        frames = read_frames(process, 5)
        process.send_signal(number)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    frames += lines(output)
    receipt = receipt_of(errors)
    assert [frame["index"] for frame in frames] == list(range(len(frames)))
    assert receipt["frames"] == len(frames) < 200
    assert receipt["cuts"] == {"first.0": len(frames)}
    assert receipt["jpeg_bytes"] > 0
    assert "Traceback" not in errors


@pytest.mark.slow
def test_an_edge_that_is_paused_goes_on_where_it_was(server: Serving) -> None:
    arguments = ("--source", str(BIKES), "--overload", "block", "--frames", "60", "--deadline", "1s")
    with running(server, *arguments, "--cut", "first.0") as process:
        frames = read_frames(process, 10)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)  # longer than the deadline of what is on its way
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    frames += lines(output)
    assert [frame["index"] for frame in frames] == list(range(60))
    with running(server, *arguments, "--cut", "first.0") as process:
        calm, _ = process.communicate()
    assert [frame["confidence"] for frame in frames] == [frame["confidence"] for frame in lines(calm)]


def test_the_data_budget_keeps_the_rest_here(
    server: Serving, pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--server", server.event["address"], "--source", str(pictures), "--json", "--cut", "first.0"]
    link = ["--bandwidth", "10Mbit/s", "--in-flight", "1"]
    assert main(["run", *MODEL, *arguments, *link]) == 0
    frame_bytes = max(int(str(record["sent_bytes"])) for record in lines(capsys.readouterr().out))
    budget_bytes = 5 * frame_bytes // 2
    assert main(["run", *MODEL, *arguments, *link, "--max-data", f"{budget_bytes}B/day"]) == 0
    output = capsys.readouterr()
    records = lines(output.out)
    assert [record["confidence"] for record in records] == expected
    assert [record["finished_by"] for record in records] == ["cloud", "cloud", "edge", "edge"]
    assert '"event": "budget"' in output.err
    assert 0 < receipt_of(output.err)["budget_left_bytes"] < frame_bytes


def test_too_little_memory_for_local_finish_is_said_at_the_start(
    server: Serving, pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--server", server.event["address"], "--source", str(pictures), "--json"]
    assert main(["run", *MODEL, *arguments, "--memory", "1kB"]) == 0
    output = capsys.readouterr()
    assert [record["confidence"] for record in lines(output.out)] == expected
    assert {record["finished_by"] for record in lines(output.out)} == {"cloud"}
    assert "frames that the cloud fails at will be answered as failed" in output.err
    assert main(["run", *MODEL, *arguments, "--memory", "1B", "--cut", "second.0"]) == 4
    assert "more than the memory limit" in capsys.readouterr().err


def test_the_trace_file_is_written(server: Serving, pictures: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    arguments = ["--server", server.event["address"], "--source", str(pictures), "--cut", "first.0"]
    assert main(["run", *MODEL, *arguments, "--trace", str(trace)]) == 0
    stages = [event["name"] for event in json.loads(trace.read_text()) if event["ph"] == "X"]
    assert sorted(stages) == sorted(["head", "upload", "tail"] * 4)


def test_people_get_a_receipt(server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--server", server.event["address"], "--source", str(pictures), "--cut", "first.0"]
    assert main(["run", *MODEL, *arguments, "--link-estimate", "probe"]) == 0
    errors = capsys.readouterr().err
    assert "4 answered by the cloud" in errors
    assert "cuts: first.0 4" in errors
    assert "of JPEGs (quality 95)" in errors


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")
def test_the_link_is_measured_by_iperf3_where_that_is_asked_for(
    pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with serving(*MODEL, "--port", "0", "--json", "--iperf3", str(port)) as with_iperf3:
        arguments = ["--server", with_iperf3.event["address"], "--source", str(pictures), "--json", "--cut", "first.0"]
        assert main(["run", *MODEL, *arguments, "--link-estimate", "iperf3", "--iperf3-port", str(port)]) == 0
        output = capsys.readouterr()
        assert [record["confidence"] for record in lines(output.out)] == expected
        assert {record["finished_by"] for record in lines(output.out)} == {"cloud"}
        # A second of the loopback is far more than four frames.
        sent_bytes = sum(int(str(record["sent_bytes"])) for record in lines(output.out))
        assert receipt_of(output.err)["sent_bytes"] > 100 * sent_bytes
    assert main(["run", *MODEL, *arguments, "--iperf3-port", str(port)]) == 2
    assert "--iperf3-port goes with --link-estimate iperf3" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")
def test_a_server_without_iperf3_is_said_in_one_line(
    server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(free_port())
    arguments = ["--server", server.event["address"], "--source", str(pictures), "--json"]
    assert main(["run", *MODEL, *arguments, "--link-estimate", "iperf3", "--iperf3-port", port]) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert f"iperf3 to 127.0.0.1:{port}: unable to connect" in errors[0]
