"""A replica by itself, without Ray around it: who gets in, what errors become, what health says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dnn_surgery.cloud.gate import Quota
from dnn_surgery.cloud.ray_replica import Replica, ReplicaOptions, register
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol import health, methods
from dnn_surgery.protocol.dataplane import InferRequest
from dnn_surgery.protocol.messages import decode_reply, encode_request, wire_tensor
from tests.cloud.network import NAME, assert_equal

TOKEN = "a-token-of-the-tests"  # noqa: S105 - opens nothing


class Context:
    """What Ray hands over beside a request."""

    def __init__(self, token: str | None = None) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.trailing: dict[str, str] = {}
        self._metadata = [] if token is None else [("authorization", f"Bearer {token}")]

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, pairs: list[tuple[str, str]]) -> None:
        self.trailing = dict(pairs)


def call(replica: Any, name: str, data: bytes, context: Context) -> bytes:
    reply: bytes = asyncio.run(getattr(replica, name)(data, context)).SerializeToString()
    return reply


@pytest.fixture
def replica(engine: Engine, tmp_path: Path) -> Iterator[Replica]:
    (tmp_path / "tokens").write_text(f"device:{TOKEN}\n")
    options = ReplicaOptions(
        lambda: [engine],
        tokens=str(tmp_path / "tokens"),
        quota=Quota(requests_hz=1, burst_s=2),
        max_message_bytes=1_000,
    )
    made = Replica(options)
    yield made
    made.service.close()


def request_for(inputs: dict[str, Array]) -> bytes:
    return encode_request(InferRequest(NAME, tuple(wire_tensor(name, array) for name, array in inputs.items())))


def test_tokens_are_checked_and_quotas_kept(
    replica: Replica, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    data = request_for(inputs)
    assert len(data) > 1_000
    replica.max_message_bytes = 20_000
    for token, refused in ((None, True), ("another-token-of-them", True), (TOKEN, False)):
        context = Context(token)
        reply = call(replica, "ModelInfer", data, context)
        assert (context.code is grpc.StatusCode.UNAUTHENTICATED) is refused
        assert (not reply) is refused
    assert_equal({tensor.name: tensor.array for tensor in decode_reply(reply).outputs}, expected)
    call(replica, "ModelInfer", data, Context(TOKEN))
    context = Context(TOKEN)
    assert call(replica, "ModelInfer", data, context) == b""
    assert context.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(context.trailing["retry-after-ms"]) > 0


def test_an_over_size_message_is_refused_before_it_is_parsed(replica: Replica, inputs: dict[str, Array]) -> None:
    context = Context(TOKEN)
    assert call(replica, "ModelInfer", request_for(inputs), context) == b""
    assert context.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1000" in context.details


def test_health_and_liveness_need_no_token(replica: Replica) -> None:
    context = Context()
    assert call(replica, "Check", b"", context) == health.SERVING
    assert call(replica, "ServerReady", b"", context)
    assert context.code is None
    assert call(replica, "Check", b"\n\x04nope", context) == b""
    assert context.code is grpc.StatusCode.NOT_FOUND
    asyncio.run(replica.check_health())
    replica.service.close()
    with pytest.raises(RuntimeError, match="compute thread"):
        asyncio.run(replica.check_health())


def test_every_call_is_registered_under_the_name_of_a_method() -> None:
    class Server:
        def __init__(self) -> None:
            self.paths: set[str] = set()

        def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
            self.paths |= set(handlers[0]._method_handlers)  # as Ray reads them

    server = Server()
    register(None, server)
    assert server.paths == {method.path for method in methods.ALL} | {f"/{health.SERVICE}/Check"}
    for path in server.paths:
        assert callable(getattr(Replica, path.rpartition("/")[2]))


@pytest.mark.parametrize("text", ["", "0", "3:1", "two", "1:", "-1"])
def test_a_number_of_replicas_that_makes_no_sense(text: str) -> None:
    from dnn_surgery.cloud.ray_server import parse_scale

    with pytest.raises(InputError, match=r"replicas|1 or more|1 replica"):
        parse_scale(text)
