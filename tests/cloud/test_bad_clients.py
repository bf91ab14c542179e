"""Clients that stall, leave, and send rubbish: all others get correct answers, and nothing is left behind."""

import random
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.http2 import PREFACE, BadClient
from tests.cloud.network import assert_equal, client_of
from tests.cloud.test_refusals import good


@pytest.fixture
def impatient(engine: Engine) -> Iterator[CloudServer]:
    """A server that waits half a second for a handshake or an upload."""
    with CloudServer(engine, handshake_timeout_s=0.5, upload_timeout_s=0.5) as server:
        yield server


def calls_under_way(server: CloudServer) -> int:
    return sum(client.calls for client in server._gate._clients.values())


def wait_until_idle(server: CloudServer, client: InferenceClient) -> None:
    # The call that asks is one itself.
    while calls_under_way(server) or server.service.held_bytes:
        client.server_metadata()


def test_connections_that_never_get_through_their_handshake_are_closed(
    impatient: CloudServer, engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with ExitStack() as stack, client_of(impatient, engine.graph) as client:
        loris = [stack.enter_context(BadClient(impatient.address)) for _ in range(50)]
        for number, bad in enumerate(loris):
            bad.socket.sendall(PREFACE[: number % len(PREFACE)])
        assert_equal(dict(client.infer(inputs).tensors), expected)
        for bad in loris:
            while bad.read_frame() is not None:
                pass
        assert_equal(dict(client.infer(inputs).tensors), expected)


def test_uploads_that_never_end_are_given_up_while_others_are_answered(
    impatient: CloudServer, engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with ExitStack() as stack, client_of(impatient, engine.graph) as client:
        loris = [stack.enter_context(BadClient(impatient.address)) for _ in range(10)]
        streams = range(1, 20, 2)
        for bad in loris:
            bad.shake_hands()
            for stream in streams:
                bad.begin_call(stream, 1_000_000)
                bad.send(stream, b"drop")
        for _ in range(5):
            assert_equal(dict(client.infer(inputs).tensors), expected)
        for bad in loris:
            assert bad.ended_streams(len(streams)) == set(streams)
        wait_until_idle(impatient, client)
        assert_equal(dict(client.infer(inputs).tensors), expected)


def test_one_clients_stalled_uploads_do_not_use_the_servers_calls_up(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    limits = ServingLimits(calls=20, calls_per_client=10)
    with CloudServer(engine, limits=limits) as server, client_of(server, engine.graph) as client:
        with BadClient(server.address) as bad:
            bad.shake_hands()
            for stream in range(1, 60, 2):
                bad.begin_call(stream, 1_000_000)
            refused = bad.ended_streams(20)
            assert len(refused) == 20
            assert_equal(dict(client.infer(inputs).tensors), expected)
        wait_until_idle(server, client)


def test_clients_that_leave_in_mid_upload_leave_nothing_behind(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with CloudServer(engine) as server, client_of(server, engine.graph) as client:
        for number in range(20):
            with BadClient(server.address) as bad:
                bad.shake_hands()
                bad.begin_call(1, 1_000_000)
                bad.send(1, bytes(1000 * number))
            assert_equal(dict(client.infer(inputs).tensors), expected)
        wait_until_idle(server, client)


PATHS = [methods.MODEL_INFER.path, methods.PROBE.path, methods.CLOUD_PROFILE.path, "/grpc.health.v1.Health/Check"]


@pytest.mark.parametrize("path", PATHS)
def test_random_and_damaged_messages_are_answered_with_a_status(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array], path: str
) -> None:
    rng = random.Random(path)
    whole = good(engine.graph).SerializeToString()
    with (
        CloudServer(engine) as server,
        client_of(server, engine.graph) as client,
        grpc.insecure_channel(server.address) as channel,
    ):
        call = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        refused = 0
        for number in range(300):
            data = rng.randbytes(rng.randrange(200)) if number % 2 else damaged(rng, whole)
            try:
                call(data, timeout=20)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                assert error.code().name in {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}, error
                refused += 1
            if number % 50 == 0:
                assert_equal(dict(client.infer(inputs).tensors), expected)
        assert refused > 100
        wait_until_idle(server, client)


def damaged(rng: random.Random, message: bytes) -> bytes:
    """Bytes changed, cut off, or repeated, near the beginning where the structure is."""
    data = bytearray(message)
    for _ in range(rng.randrange(1, 4)):
        where = rng.randrange(120)
        match rng.randrange(3):
            case 0:
                data[where] = rng.randrange(256)
            case 1:
                del data[where : where + rng.randrange(1, 20)]
            case _:
                data[where:where] = data[where : where + rng.randrange(1, 20)]
    return bytes(data)
