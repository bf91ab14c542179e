import os
from collections.abc import Iterator

import pytest

from dnn_surgery.cloud.ray_replica import ReplicaOptions
from dnn_surgery.cloud.ray_server import RayServer, Scale
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud import ray_models
from tests.cloud.network import client_of, make, random_input
from tests.cloud.ray_models import RAY_MARK


@pytest.fixture(scope="session")
def engine() -> Engine:
    return make()


@pytest.fixture(scope="session")
def graph(engine: Engine) -> ModelGraph:
    return engine.graph


@pytest.fixture(scope="session")
def inputs(graph: ModelGraph) -> dict[str, Array]:
    return {graph.inputs[0]: random_input()}


@pytest.fixture(scope="session")
def expected(engine: Engine, inputs: dict[str, Array]) -> dict[str, Array]:
    """The whole model's answer, without a network between."""
    return engine.part(engine.graph.inputs, engine.graph.outputs)(inputs)


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[CloudServer]:
    with CloudServer(engine, max_message_bytes=2**20) as server:
        yield server


@pytest.fixture(scope="session")
def ray_server() -> Iterator[RayServer]:
    """Two replicas of the same network on Ray Serve; starting it takes up to a minute."""
    pytest.importorskip("ray.serve")
    # By this the processes that are ours are known.
    os.environ[RAY_MARK] = str(os.getpid())
    os.environ["RAY_AUTH_MODE"] = "disabled"
    options = ReplicaOptions(ray_models.branches, max_message_bytes=2**20)
    with RayServer(options, port=0, insecure=True, scale=Scale(2, 2, cpus=0.1)) as server:
        yield server


@pytest.fixture(scope="session", params=["plain", pytest.param("ray", marks=pytest.mark.slow)])
def either_server(request: pytest.FixtureRequest, engine: Engine) -> Iterator[CloudServer | RayServer]:
    """The plain server, and in the slow tests the one on Ray too: whoever asks cannot tell them apart."""
    if request.param == "ray":
        yield request.getfixturevalue("ray_server")
        return
    with CloudServer(engine, max_message_bytes=2**20) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: CloudServer | RayServer, graph: ModelGraph) -> Iterator[InferenceClient]:
    with client_of(server, graph) as client:
        yield client
