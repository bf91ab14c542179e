"""`serve` with TLS, tokens, two models, metrics and JSON logs, and `run` with and without the right keys."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from tests.certificates import DAY, NOW, Authority
from tests.cli.serving import Serving, environment, refused, serving
from tests.cli.test_run import FACTORY, MODEL, OTHER, expected, lines, pictures
from tests.cloud.test_gate import CAMERA
from tests.cloud.test_metrics import scrape

__all__ = ["expected", "pictures"]


@dataclass(frozen=True)
class Secured:
    """A running server, the authority that its clients trust, and one that they should not."""

    server: Serving
    authority: Authority
    stranger: Authority
    token: Path
    wrong_token: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.event['address'].rpartition(':')[2]}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("keys")
    authority, stranger = Authority(folder), Authority(folder, "stranger")
    own = authority.sign("cloud")
    for name, text in (("tokens", f"camera:{CAMERA}\n"), ("token", CAMERA), ("wrong", CAMERA[::-1])):
        (folder / name).write_text(text)
    arguments = [FACTORY, OTHER, *MODEL[1:], "--address", "0.0.0.0:0", "--json", "--metrics", "127.0.0.1:0"]
    keys = ["--tls-cert", str(own.cert), "--tls-key", str(own.key), "--token-file", str(folder / "tokens")]
    with serving(*arguments, *keys, "--log-format", "json", "--log-level", "info") as server:
        yield Secured(server, authority, stranger, folder / "token", folder / "wrong")


def run(secured: Secured, pictures: Path, *more: str, model: str = FACTORY) -> list[str]:
    where = ["--server", secured.address, "--source", str(pictures), "--cut", "first.0", "--json"]
    return ["run", model, *MODEL[1:], *where, *more]


def test_a_client_with_the_right_keys_gets_the_unsplit_models_answers(
    secured: Secured, pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("--tls-ca", str(secured.authority.cert), "--token-file", str(secured.token))
    assert main(run(secured, pictures, *keys)) == 0
    records = lines(capsys.readouterr().out)
    assert [record["confidence"] for record in records] == expected
    assert {record["finished_by"] for record in records} == {"cloud"}
    assert main(run(secured, pictures, *keys, "--metrics", "127.0.0.1:0", model=OTHER)) == 0
    assert {record["finished_by"] for record in lines(capsys.readouterr().out)} == {"cloud"}
    samples = scrape(secured.server.event["metrics"])
    models = {labels[1][1] for name, labels in samples if name == "dnn_surgery_cuts_total"}
    assert models == {"build", "build_other"}


def test_a_configuration_file_may_hold_the_keys(
    secured: Secured, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = secured.address.partition(":")
    path = tmp_path / "configuration.yaml"
    path.write_text(
        f'model: {{ref: "{FACTORY}", trust_model: true}}\n'
        f'server:\n  address: {host}\n  port: "{port}"\n  tls: {{ca: {secured.authority.cert}}}\n'
        f"  token_file: {secured.token}\n"
        f"sources: {{all: {{url: {pictures}}}}}\n"
        'output: {metrics: "127.0.0.1:0"}\n'
    )
    assert main(["run", "--config", str(path), "--cut", "first.0", "--json"]) == 0
    assert {record["finished_by"] for record in lines(capsys.readouterr().out)} == {"cloud"}


@pytest.mark.parametrize(
    ("ca", "token", "why"),
    [
        ("stranger", "token", "the certificate of {address} is refused: no authority in {ca} signed it"),
        (None, None, "the server at {address} wants TLS: name whom to trust"),
        ("authority", None, "the server at {address} refused: this server wants a token, and the request brings none"),
        ("authority", "wrong_token", "the server at {address} refused: the request's token is none that"),
    ],
)
def test_wrong_keys_are_one_line_and_exit_code_three(
    secured: Secured, pictures: Path, ca: str | None, token: str | None, why: str
) -> None:
    cert = None if ca is None else getattr(secured, ca).cert
    keys = [] if cert is None else ["--tls-ca", str(cert)]
    keys += [] if token is None else ["--token-file", str(getattr(secured, token))]
    command = [sys.executable, "-m", "dnn_surgery", *run(secured, pictures, *keys)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("dnn-surgery: notice:"))
    assert line.startswith("dnn-surgery: error: " + why.format(address=secured.address, ca=cert))


def test_an_expired_certificate_is_said(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    expired = authority.sign("expired", ends=NOW - DAY + timedelta(hours=1))
    keys = ["--tls-cert", str(expired.cert), "--tls-key", str(expired.key)]
    with serving(*MODEL, "--port", "0", "--json", *keys) as server:
        address = server.event["address"]
        where = ["--server", address, "--source", str(pictures), "--cut", "first.0"]
        assert main(["run", *MODEL, *where, "--tls-ca", str(authority.cert)]) == 3
    error = f"dnn-surgery: error: the certificate of {address} is refused: it has expired\n"
    assert capsys.readouterr().err.endswith(error)


def test_the_logs_are_json_and_the_end_is_quiet(secured: Secured) -> None:
    """The last of this file: it ends the server."""
    code, errors = secured.server.end(signal.SIGTERM)
    assert code == 0
    records = [json.loads(line) for line in errors.splitlines()]
    assert {"time", "level", "logger", "message"} <= records[0].keys()
    assert [record["message"] for record in (records[0], records[-1])] == ["listening", "stopping"]
    answered = [record for record in records if record.get("status") == "OK" and record.get("method") == "ModelInfer"]
    assert answered
    for record in answered:
        assert record["client"] == "camera"
        assert record["stages"].keys() == {"parse", "queue", "compute", "serialise"}
    assert [record for record in records if record.get("status") == "UNAUTHENTICATED" and record["level"] == "warning"]
    assert CAMERA not in errors
    assert CAMERA[::-1] not in errors


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--address", "0.0.0.0:0"], "refusing to listen at 0.0.0.0:0 without TLS"),
        (["--port", "0", "--tls-cert", "x.pem"], "--tls-cert and --tls-key go together"),
        (["--port", "0", "--client-ca", "x.pem"], "--client-ca goes with"),
        (["--port", "0", "--tls-cert", "nowhere.pem", "--tls-key", "x"], "cannot read nowhere.pem"),
        (["--port", "0", "--token-file", "nowhere"], "cannot read tokens nowhere"),
        (["--port", "0", "--quota-requests", "0"], "must be positive"),
        (["--port", "0", "--max-queue", "0"], "must be at least 1"),
        (["vgg16", "--port", "0", "--weights", "x.pth"], "weights stand behind each"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(arguments: list[str], why: str) -> None:
    code, errors = refused("resnet18", *arguments)
    assert code == 2
    assert errors.count("\n") == 1
    assert why in errors
