"""What only the server on Ray has: replicas that die. The answers themselves: test_answers, test_refusals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import grpc
import pytest

from dnn_surgery.cloud.ray_server import RayServer
from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.runtime import Edge
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.protocol import health
from tests.cloud.network import assert_equal, client_of
from tests.cloud.ray_models import replica_processes

pytestmark = pytest.mark.slow

KILL_AT, IN_FLIGHT = 60, 8


def test_a_replica_killed_under_load_loses_no_frame(
    ray_server: RayServer, engine: Engine, graph: ModelGraph, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    replicas = replica_processes(os.getpid())
    assert len(replicas) == 2
    results: list[FrameResult] = []
    offered = 0

    def is_back() -> bool:
        return len(results) > KILL_AT + IN_FLIGHT and results[-1].finished_by == "cloud"

    def frames() -> Iterator[NamedInputs]:
        nonlocal offered
        while not is_back():
            if offered == KILL_AT:
                os.kill(replicas[0], signal.SIGKILL)
            yield NamedInputs(str(offered), dict(inputs))
            offered += 1

    edge_layers = graph.edge_layers(graph.layers[1].name)
    with client_of(ray_server, graph) as client:
        edge = Edge(engine, edge_layers, client=client, deadline_s=20.0)
        for result in edge.stream(frames(), in_flight=IN_FLIGHT):
            results.append(result)
    assert [result.index for result in results] == list(range(offered))
    for result in results:
        assert_equal(dict(result.outputs), expected)
        assert (result.finished_by == "edge") is (result.failure is not None)
    assert all(result.finished_by == "cloud" for result in results[: KILL_AT // 2])


def test_load_balancers_are_told_of_health_and_reflection_is_off(ray_server: RayServer, graph: ModelGraph) -> None:
    with grpc.insecure_channel(ray_server.address) as channel:

        def call(path: str, data: bytes) -> bytes:
            made = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
            answer: bytes = made(data, timeout=20)
            return answer

        name = graph.name.encode()
        assert call(f"/{health.SERVICE}/Check", b"\n" + bytes([len(name)]) + name) == health.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
