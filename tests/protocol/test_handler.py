"""The way from bytes to bytes without a gRPC server around it, as another engine's ingress uses it."""

import asyncio
from pathlib import Path

import pytest

from dnn_surgery.cloud.gate import ClientGate, Quota
from dnn_surgery.cloud.service import TailService
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import BusyError, TensorError, UnauthenticatedError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.dataplane import InferRequest
from dnn_surgery.protocol.gate import Metadata
from dnn_surgery.protocol.handler import CallRecord, RequestHandler
from dnn_surgery.protocol.messages import decode_reply, encode_request, wire_tensor
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from tests.cloud.network import NAME, assert_equal
from tests.cloud.test_gate import CAMERA, tokens

__all__ = ["tokens"]

GOOD: Metadata = [("authorization", f"Bearer {CAMERA}")]


def message(inputs: dict[str, Array]) -> bytes:
    return encode_request(InferRequest(NAME, tuple(wire_tensor(name, array) for name, array in inputs.items())))


async def ask(
    handler: RequestHandler, data: bytes, metadata: Metadata = GOOD, remaining_s: float | None = None
) -> bytes:
    with handler.gate.enter(metadata, peer="somewhere") as client:
        return await handler.answer(methods.MODEL_INFER.path, data, client, remaining_s)


def test_a_request_is_let_in_answered_and_noted(
    engine: Engine, tokens: Path, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    records: list[CallRecord] = []
    data = message(inputs)
    with TailService(engine) as service:
        handler = RequestHandler(service, gate=ClientGate(tokens=TokenFile(tokens)), observers=[records.append])
        reply = asyncio.run(ask(handler, data, remaining_s=60.0))
    answer = decode_reply(reply)
    assert_equal({tensor.name: tensor.array for tensor in answer.outputs}, expected)
    assert (answer.clients, answer.queued, answer.slowdown) == (1, 0, 1.0)
    (record,) = records
    assert (record.method, record.client, record.status, record.model) == ("ModelInfer", "camera", "OK", NAME)
    assert (record.cut, record.batch) == (tuple(inputs), 1)
    assert (record.bytes_up, record.bytes_down) == (len(data), len(reply))
    assert sum(seconds for _, seconds in record.stages) <= record.elapsed_s


def test_refusals_are_the_projects_own_errors(engine: Engine, tokens: Path, inputs: dict[str, Array]) -> None:
    records: list[CallRecord] = []
    data = message(inputs)

    async def refused() -> None:
        gate = ClientGate(tokens=TokenFile(tokens), quota=Quota(requests_hz=0.1, burst_s=20.0))
        handler = RequestHandler(service, gate=gate, observers=[records.append])
        with pytest.raises(UnauthenticatedError):
            await ask(handler, data, metadata=[])
        with pytest.raises(TensorError):
            await ask(handler, b"\xff")
        with pytest.raises(BusyError, match="deadline"):
            await ask(handler, data, remaining_s=-1.0)
        with pytest.raises(BusyError, match="quota"):
            await ask(handler, data)
        await handler.drain(grace_s=1.0)
        with pytest.raises(UnreachableError, match="the server is stopping"):
            await ask(handler, data)
        ready = await handler.answer(methods.SERVER_READY.path, b"")
        assert not oip.ServerReadyResponse.FromString(ready).ready

    with TailService(engine) as service:
        asyncio.run(refused())
    statuses = [record.status for record in records if record.method == "ModelInfer"]
    assert statuses == ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"]


def test_a_request_whose_client_goes_is_noted_as_cancelled(engine: Engine, inputs: dict[str, Array]) -> None:
    records: list[CallRecord] = []

    async def leave() -> None:
        handler = RequestHandler(service, observers=[records.append])
        asking = asyncio.ensure_future(handler.answer(methods.MODEL_INFER.path, message(inputs), "camera"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with TailService(engine) as service:
        asyncio.run(leave())
    assert [record.status for record in records] == ["CANCELLED"]
