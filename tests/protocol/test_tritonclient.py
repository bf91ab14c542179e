"""A foreign client of the protocol, in the same process as our own stubs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.graph import ModelGraph
from tests.cloud.network import NAME, SIZE


@pytest.fixture
def foreign(server: CloudServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def triton_inputs(inputs: dict[str, Array]) -> list[Any]:
    (name,) = inputs
    tensor = triton.InferInput(name, list(inputs[name].shape), "FP32")
    tensor.set_data_from_numpy(inputs[name])
    return [tensor]


def test_the_models_input_gets_the_whole_models_answer(
    foreign: Any, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    answer = foreign.infer(NAME, triton_inputs(inputs))
    assert answer.get_response().model_version == "1"
    for name, array in expected.items():
        np.testing.assert_array_equal(answer.as_numpy(name), array)


def test_named_outputs_and_version_one_are_served(
    foreign: Any, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    name = list(expected)[1]
    outputs = [triton.InferRequestedOutput(name)]
    answer = foreign.infer(NAME, triton_inputs(inputs), model_version="1", outputs=outputs, request_id="7")
    assert answer.get_response().id == "7"
    assert [output.name for output in answer.get_response().outputs] == [name]
    np.testing.assert_array_equal(answer.as_numpy(name), expected[name])


def test_health_and_metadata_are_as_clients_expect_them(foreign: Any, graph: ModelGraph) -> None:
    assert foreign.is_server_live()
    assert foreign.is_server_ready()
    assert foreign.is_model_ready(NAME)
    assert foreign.get_server_metadata().name == "dnn-surgery"
    metadata = foreign.get_model_metadata(NAME)
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs] == [
        (graph.inputs[0], "FP32", [1, 3, SIZE, SIZE])
    ]


def test_the_configuration_reads_as_clients_read_it(foreign: Any, graph: ModelGraph) -> None:
    config = foreign.get_model_config(NAME, as_json=True)["config"]
    assert [(tensor["name"], tensor["data_type"]) for tensor in config["input"]] == [(graph.inputs[0], "TYPE_FP32")]
    assert sorted(tensor["name"] for tensor in config["output"]) == sorted(graph.outputs)
    assert config["input"][0]["dims"] == ["1", "3", str(SIZE), str(SIZE)]
    assert config.get("max_batch_size", 0) == 0
    assert config.get("parameters", {}) == {}


@pytest.mark.parametrize(
    ("model", "version", "status"),
    [("vgg16", "", "StatusCode.NOT_FOUND"), (NAME, "2", "StatusCode.NOT_FOUND")],
)
def test_other_models_and_versions_are_not_found(
    foreign: Any, inputs: dict[str, Array], model: str, version: str, status: str
) -> None:
    calls = (
        lambda: foreign.infer(model, triton_inputs(inputs), model_version=version),
        lambda: foreign.get_model_metadata(model, version),
        lambda: foreign.get_model_config(model, version),
    )
    for call in calls:
        with pytest.raises(triton.InferenceServerException) as caught:
            call()
        assert caught.value.status() == status


def test_what_the_server_does_not_offer_is_unimplemented(foreign: Any) -> None:
    with pytest.raises(triton.InferenceServerException) as caught:
        foreign.get_system_shared_memory_status()
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
