"""What `serve --ray` refuses before Ray is started; what it serves: tests/cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.protocol.client import InferenceClient


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--ray"], "no TLS"),
        (["--replicas", "2"], "go with --ray"),
        (["--ray", "--insecure", "--replicas", "many"], "number of replicas"),
        (["--ray", "--insecure", "--metrics", ":0"], "--metrics does not go with --ray"),
        (["--ray", "--tls-cert", "a", "--tls-key", "b"], "--tls-cert does not go with --ray"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(
    flags: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "resnet18", "--port", "0", *flags]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_it_serves_until_sigterm_and_ends_with_0() -> None:
    pytest.importorskip("ray.serve")
    command = [sys.executable, "-m", "dnn_surgery", "serve", "tests.cloud.network:build", "--trust-model", "--ray"]
    command += ["--insecure", "--json", "--port", "0", "--replica-cpus", "0.1"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with InferenceClient(said["address"], model_name=said["models"][0]) as client:
            assert client.model_metadata().name == "build"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
