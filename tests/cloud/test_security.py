"""Who gets in: certificates and tokens on a real server, and what everyone else is told."""

import logging
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import grpc
import pytest

from dnn_surgery.cloud.call_log import CallLog
from dnn_surgery.cloud.encryption import ServerTls
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import CertificateError, InputError, UnauthenticatedError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.handler import CallRecord
from tests.certificates import DAY, NOW, Authority, Signed
from tests.cloud.network import NAME, assert_equal, client_of
from tests.cloud.test_gate import CAMERA, DRONE, tokens

__all__ = ["tokens"]


@dataclass(frozen=True)
class Keys:
    """What the authority of a fleet signed, and what it did not."""

    authority: Authority
    stranger: Authority
    server: Signed
    expired: Signed
    elsewhere: Signed
    device: Signed
    expired_device: Signed
    strange_device: Signed


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    ours, theirs = (tmp_path_factory.mktemp(name) for name in ("ours", "theirs"))
    authority, stranger = Authority(ours), Authority(theirs, "stranger")
    yesterday = NOW - DAY + timedelta(hours=1)
    return Keys(
        authority=authority,
        stranger=stranger,
        server=authority.sign("server"),
        expired=authority.sign("expired", ends=yesterday),
        elsewhere=authority.sign("elsewhere", host="cloud.example"),
        device=authority.sign("device"),
        expired_device=authority.sign("expired-device", ends=yesterday),
        strange_device=stranger.sign("strange-device"),
    )


def tls(signed: Signed, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(signed.cert, signed.key, client_ca)


def test_tls_answers_are_the_same_to_the_bit(
    engine: Engine, keys: Keys, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    credentials = Credentials(ca=keys.authority.cert)
    with (
        CloudServer(engine, address="0.0.0.0:0", tls=tls(keys.server)) as server,
        InferenceClient(f"127.0.0.1:{server.port}", model_name=NAME, credentials=credentials) as client,
    ):
        assert_equal(dict(client.infer(inputs).tensors), expected)
        assert_equal(dict(client.infer_async(inputs).result().tensors), expected)


def test_a_link_with_a_long_way_carries_the_handshake(
    engine: Engine, keys: Keys, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with (
        CloudServer(engine, tls=tls(keys.server)) as server,
        ShapedLink(server.address, up_bps=1e8, delay_s=0.2) as link,
        InferenceClient(link.address, model_name=NAME, credentials=Credentials(ca=keys.authority.cert)) as client,
    ):
        assert_equal(dict(client.infer(inputs).tensors), expected)


@pytest.mark.parametrize(
    ("shown_to", "why"),
    [
        (("server", "stranger"), r"refused: no authority in .*stranger\.pem signed it"),
        (("server", "system"), "refused: no authority that this machine trusts signed it"),
        (("expired", "authority"), "refused: it has expired"),
        (("elsewhere", "authority"), "refused: IP address mismatch"),
    ],
)
def test_a_server_that_is_not_to_be_trusted_gets_no_frame(
    engine: Engine, keys: Keys, inputs: dict[str, Array], shown_to: tuple[str, str], why: str
) -> None:
    certificate, ca = shown_to
    trusted = "system" if ca == "system" else getattr(keys, ca).cert
    records: list[CallRecord] = []
    with (
        CloudServer(engine, tls=tls(getattr(keys, certificate)), observers=[records.append]) as server,
        client_of(server, engine.graph, credentials=Credentials(ca=trusted)) as client,
    ):
        for call in (client.infer, lambda tensors: client.infer_async(tensors).result()):
            with pytest.raises(CertificateError, match=why):
                call(inputs)
    assert records == []


def test_tls_on_one_side_alone_is_said(engine: Engine, keys: Keys) -> None:
    with (
        CloudServer(engine) as server,
        client_of(server, engine.graph, credentials=Credentials(ca=keys.authority.cert)) as client,
        pytest.raises(CertificateError, match="the server does not speak TLS"),
    ):
        client.server_metadata()
    with (
        CloudServer(engine, tls=tls(keys.server)) as server,
        client_of(server, engine.graph) as client,
        pytest.raises(CertificateError, match="wants TLS"),
    ):
        client.server_metadata()


def test_nobody_listening_is_still_said_as_such(keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    credentials = Credentials(ca=keys.authority.cert)
    with (
        InferenceClient(address, model_name=NAME, credentials=credentials) as client,
        pytest.raises(UnreachableError, match="no server answers"),
    ):
        client.server_metadata()


def test_a_clients_certificate_lets_it_in_and_names_it(
    engine: Engine, keys: Keys, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    records: list[CallRecord] = []
    credentials = Credentials(ca=keys.authority.cert, cert=keys.device.cert, key=keys.device.key)
    with (
        CloudServer(engine, tls=tls(keys.server, keys.authority.cert), observers=[records.append]) as server,
        client_of(server, engine.graph, credentials=credentials) as client,
    ):
        assert_equal(dict(client.infer(inputs).tensors), expected)
    assert [record.client for record in records] == ["device"]


@pytest.mark.parametrize("who", [None, "expired_device", "strange_device"])
def test_a_client_with_another_certificate_or_none_stays_out(engine: Engine, keys: Keys, who: str | None) -> None:
    signed = getattr(keys, who) if who else None
    credentials = Credentials(
        ca=keys.authority.cert, cert=signed.cert if signed else None, key=signed.key if signed else None
    )
    with (
        CloudServer(engine, tls=tls(keys.server, keys.authority.cert)) as server,
        client_of(server, engine.graph, credentials=credentials) as client,
        pytest.raises(CertificateError, match="the server does not take our certificate, or wants one"),
    ):
        client.server_metadata()


def test_a_token_lets_its_client_in_and_names_it(
    engine: Engine, tokens: Path, tmp_path: Path, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    records: list[CallRecord] = []
    mine = tmp_path / "mine"
    mine.write_text(DRONE + "\n")
    with (
        CloudServer(engine, tokens=TokenFile(tokens), observers=[records.append]) as server,
        client_of(server, engine.graph, credentials=Credentials(token_file=mine)) as client,
    ):
        assert_equal(dict(client.infer(inputs).tensors), expected)
        assert client.probe(10_000) > 0
        tokens.write_text(f"camera:{CAMERA}\n")
        with pytest.raises(UnauthenticatedError, match="none that this server knows"):
            client.infer(inputs)
    assert [(record.client, record.status) for record in records[:2]] == [("drone", "OK")] * 2
    assert records[2].status == "UNAUTHENTICATED"


@pytest.mark.parametrize("token", [None, CAMERA + "x"])
def test_without_the_right_token_nothing_is_answered_but_whether_it_lives(
    engine: Engine, tokens: Path, tmp_path: Path, token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    why = "none that this server knows" if token else "brings none"
    mine = tmp_path / "mine"
    if token:
        mine.write_text(token)
    credentials = Credentials(token_file=mine if token else None)
    with (
        caplog.at_level(logging.WARNING),
        CloudServer(engine, tokens=TokenFile(tokens), observers=[CallLog()]) as server,
        client_of(server, engine.graph, credentials=credentials) as client,
    ):
        assert client.is_live()
        calls = (client.server_metadata, client.model_metadata, client.fetch_profile, lambda: client.probe(1_000_000))
        for call in calls:
            with pytest.raises(UnauthenticatedError, match=why):
                call()
    assert "UNAUTHENTICATED" in caplog.text
    assert CAMERA not in caplog.text


def test_a_body_of_any_size_is_not_read_from_someone_unknown(engine: Engine, tokens: Path) -> None:
    with CloudServer(engine, tokens=TokenFile(tokens)) as server, grpc.insecure_channel(server.address) as channel:
        call = channel.stream_unary(methods.MODEL_INFER.path, request_serializer=None, response_deserializer=None)
        never = threading.Event()
        with pytest.raises(grpc.RpcError) as caught:
            # Were the body waited for, there would be no answer before the deadline.
            call((b"" for _ in range(1) if never.wait()), timeout=20)
        never.set()
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_does_not_leave_this_machine_in_the_clear(tmp_path: Path, keys: Keys) -> None:
    mine = tmp_path / "mine"
    mine.write_text(CAMERA)
    with pytest.raises(InputError, match=r"a token is not sent to 192\.0\.2\.1:50051 unencrypted"):
        InferenceClient("192.0.2.1", model_name=NAME, credentials=Credentials(token_file=mine))
    with InferenceClient(
        "192.0.2.1", model_name=NAME, credentials=Credentials(ca=keys.authority.cert, token_file=mine)
    ):
        pass


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_the_world_is_not_served_in_the_clear_by_accident(engine: Engine, address: str) -> None:
    with pytest.raises(InputError, match=r"refusing to listen at .* without TLS"):
        CloudServer(engine, address=address)


def test_listening_in_the_clear_may_be_asked_for(engine: Engine) -> None:
    with (
        CloudServer(engine, address="0.0.0.0:0", insecure=True) as server,
        InferenceClient(f"127.0.0.1:{server.port}", model_name=NAME) as client,
    ):
        assert client.is_live()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cert": "device.cert"}, "go together"),
        ({"cert": "device.cert", "key": "device.key"}, "needs the server's authority"),
        ({"ca": "authority.cert", "cert": "device.cert", "key": "server.key"}, "is not the key of"),
        ({"ca": "device.key"}, "holds no certificate in PEM"),
        ({"ca": Path("nowhere.pem")}, "cannot read nowhere.pem: No such file"),
    ],
)
def test_files_that_make_no_sense_are_named(keys: Keys, options: dict[str, object], why: str) -> None:
    files = {name: attrgetter(value)(keys) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(InputError, match=why):
        Credentials(**files)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "\n", "tökén", "two\x00words"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text(text)
    with pytest.raises(InputError, match="its first line is no token"):
        InferenceClient("127.0.0.1:1", model_name=NAME, credentials=Credentials(token_file=mine))
