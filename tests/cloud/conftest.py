from collections.abc import Iterator

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.network import client_of, make, random_input


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


@pytest.fixture(scope="module")
def client(server: CloudServer, graph: ModelGraph) -> Iterator[InferenceClient]:
    with client_of(server, graph) as client:
        yield client
