import asyncio
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol import methods
from tests.cloud.engines import GatedEngine
from tests.cloud.network import NAME, assert_equal, client_of

Request, Status = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse


@pytest.mark.parametrize("service", ["", NAME, methods.INFERENCE_SERVICE])
def test_a_load_balancer_is_told_that_it_serves(server: CloudServer, service: str) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(Request(service=service), timeout=10).status == Status.SERVING
        assert next(stub.Watch(Request(service=service), timeout=10)).status == Status.SERVING


def test_an_unknown_service_is_not_found(server: CloudServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(Request(service="vgg16"), timeout=10)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert next(stub.Watch(Request(service="vgg16"), timeout=10)).status == Status.SERVICE_UNKNOWN


def test_whoever_watches_hears_that_it_drains_before_it_ends(
    inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    engine = GatedEngine()
    engine.running.clear()
    with (
        CloudServer(engine) as server,
        client_of(server, engine.graph) as client,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        watching = stub.Watch(Request(), timeout=30)
        assert next(watching).status == Status.SERVING
        pending = client.infer_async(inputs)
        engine.begun.acquire()
        stopping = threading.Thread(target=server.stop, kwargs={"grace_s": 60.0})
        stopping.start()
        try:
            assert next(watching).status == Status.NOT_SERVING
            assert stub.Check(Request(), timeout=10).status == Status.NOT_SERVING
        finally:
            engine.running.set()
        assert_equal(dict(pending.result().tensors), expected)
        stopping.join()


def test_a_watcher_does_not_hold_the_server_up(engine: Engine) -> None:
    with CloudServer(engine) as server, grpc.insecure_channel(server.address) as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(Request(), timeout=30)
        assert next(watching).status == Status.SERVING
        server.stop(grace_s=60.0)
        assert next(watching).status == Status.NOT_SERVING


def test_one_process_may_hold_both_kinds_of_stubs(server: CloudServer) -> None:
    async def ask() -> int:
        async with grpc.aio.insecure_channel(server.address) as channel:
            return int((await health_pb2_grpc.HealthStub(channel).Check(Request())).status)

    assert asyncio.run(ask()) == Status.SERVING
