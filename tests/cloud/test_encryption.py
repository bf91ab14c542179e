"""Certificates that are renewed while a server runs. Who gets in with which: test_security."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dnn_surgery.cloud.encryption import ServerTls
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import CertificateError, InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from tests.certificates import Authority
from tests.cloud.network import assert_equal, client_of

Ask = Callable[[InferenceClient], None]


class Files:
    """A server's files, signed by an authority of its own, and a device of that authority."""

    def __init__(self, folder: Path, name: str) -> None:
        self.authority = Authority(folder, name)
        server, device = self.authority.sign(f"{name}-server"), self.authority.sign(f"{name}-device")
        self.tls = ServerTls(
            server.cert, server.key, Path(shutil.copy(self.authority.cert, folder / f"{name}-clients"))
        )
        self.device = Credentials(ca=self.authority.cert, cert=device.cert, key=device.key)


@pytest.fixture
def first(tmp_path: Path) -> Files:
    return Files(tmp_path, "first")


@pytest.fixture
def ask(inputs: dict[str, Array], expected: dict[str, Array]) -> Ask:
    return lambda client: assert_equal(dict(client.infer(inputs).tensors), expected)


def replace(path: Path, other: Path) -> None:
    """As those do who renew certificates: the file is never half written."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(other.read_bytes())
    fresh.replace(path)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.endswith("encryption")]


def test_renewed_files_are_taken_for_new_connections_without_a_restart(
    engine: Engine, first: Files, ask: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        CloudServer(engine, tls=first.tls) as server,
        client_of(server, engine.graph, credentials=first.device) as before,
    ):
        ask(before)
        second = Files(tmp_path, "second")
        for path, other in zip(first.tls.files, second.tls.files, strict=True):
            replace(path, other)
        with client_of(server, engine.graph, credentials=second.device) as after:
            ask(after)
        with client_of(server, engine.graph, credentials=first.device) as late, pytest.raises(CertificateError):
            ask(late)
        # Who was connected stays so.
        ask(before)
    assert said(caplog) == [f"{first.tls.cert}: read again, for new connections"]


@pytest.mark.parametrize(
    "damage",
    [
        ("cert", "nothing", "holds no certificate"),
        ("key", "-----BEGIN PRIVATE KEY-----", "is not the key of"),
        ("client_ca", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("client_ca", None, "No such file"),
    ],
)
def test_bad_new_files_leave_everything_as_it_was_and_say_so_once(
    engine: Engine, first: Files, ask: Ask, caplog: pytest.LogCaptureFixture, damage: tuple[str, str | None, str]
) -> None:
    broken, text, why = damage
    path: Path = getattr(first.tls, broken)
    good = path.read_bytes()

    def connect_and_ask() -> None:
        with client_of(server, engine.graph, credentials=first.device) as client:
            ask(client)

    with caplog.at_level(logging.WARNING), CloudServer(engine, tls=first.tls) as server:
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        for _ in range(3):
            connect_and_ask()
        (message,) = said(caplog)
        assert message.startswith("the certificate stays as it was: ")
        assert why in message
        path.write_bytes(good)
        connect_and_ask()
        assert said(caplog)[1:] == [f"{first.tls.cert}: read again, for new connections"]


def test_an_authority_that_is_none_is_named_before_anyone_connects(first: Files, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    with pytest.raises(InputError, match=r"nonsense\.pem: its certificate cannot be read"):
        ServerTls(first.tls.cert, first.tls.key, nonsense)
