import contextlib
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from dnn_surgery.errors import UnreachableError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.iperf3 import run_iperf3
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.client import InferenceClient
from tests.cli.serving import FACTORY, Serving, refused, serving
from tests.cloud.network import assert_equal, random_input


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return load_model(FACTORY, trust_model=True)


@pytest.fixture(scope="module")
def inputs(graph: ModelGraph) -> dict[str, Array]:
    return {graph.inputs[0]: random_input()}


@pytest.fixture(scope="module")
def expected(graph: ModelGraph, inputs: dict[str, Array]) -> dict[str, Array]:
    return make_engine(graph, device="cpu", threads=1).part(graph.inputs, graph.outputs)(inputs)


@pytest.fixture(scope="module")
def running() -> Iterator[Serving]:
    with serving(FACTORY, "--trust-model", "--device", "cpu", "--threads", "1", "--port", "0", "--json") as running:
        yield running


def test_it_says_where_it_listens_and_what_it_serves(running: Serving, graph: ModelGraph) -> None:
    event = running.event
    host, _, port = event.pop("address").partition(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)
    assert event == {"event": "listening", "model": graph.name, "fingerprint": graph.fingerprint}


def test_another_process_gets_the_whole_models_answer_bit_for_bit(
    running: Serving, graph: ModelGraph, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    address = running.event["address"]
    with InferenceClient(address, model_name=graph.name, fingerprint=graph.fingerprint) as client:
        assert_equal(dict(client.infer(inputs).tensors), expected)
        assert client.fetch_profile().fingerprint == graph.fingerprint


def test_a_plain_triton_client_gets_it_too(
    running: Serving, graph: ModelGraph, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    (name,) = graph.inputs
    tensor = triton.InferInput(name, list(inputs[name].shape), "FP32")
    tensor.set_data_from_numpy(inputs[name])
    with triton.InferenceServerClient(running.event["address"]) as client:
        answer = client.infer(graph.name, [tensor])
    for output, array in expected.items():
        np.testing.assert_array_equal(answer.as_numpy(output), array)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_zero_and_without_a_word(
    number: signal.Signals, graph: ModelGraph, inputs: dict[str, Array]
) -> None:
    with serving(FACTORY, "--trust-model", "--port", "0") as running:
        assert f"serving {graph.name} (fingerprint {graph.fingerprint[:12]}) at 127.0.0.1:" in running.line
        address = running.line.partition(" at ")[2].partition(";")[0]
        with InferenceClient(address, model_name=graph.name) as client:
            client.infer(inputs)
        assert running.end(number) == (0, "")


def test_a_killed_server_is_unreachable_and_found_again(
    graph: ModelGraph, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with serving(FACTORY, "--trust-model", "--port", "0", "--json") as first:
        address = first.event["address"]
        with InferenceClient(address, model_name=graph.name, fingerprint=graph.fingerprint) as client:
            assert_equal(dict(client.infer(inputs).tensors), expected)
            under_way = [client.infer_async(inputs) for _ in range(100)]
            under_way[0].result()
            first.end(signal.SIGKILL)
            for pending in under_way:
                # Answered before the end, or told at once and not by the deadline that nobody will.
                with contextlib.suppress(UnreachableError):
                    assert_equal(dict(pending.result().tensors), expected)
            with pytest.raises(UnreachableError):
                client.infer(inputs)
            with serving(FACTORY, "--trust-model", "--address", address):
                while not client.is_live():
                    pass
                assert_equal(dict(client.infer(inputs).tensors), expected)


def test_a_configuration_and_a_profile_are_read(tmp_path: Path, graph: ModelGraph) -> None:
    profile = Profile(graph.name, graph.fingerprint, (), graph.outputs, 0.5, 0.0, repeats=1, warmup=0)
    profile.save(tmp_path / "profile.json")
    config = tmp_path / "configuration.yaml"
    config.write_text(
        f'model: {{ref: "{FACTORY}", trust_model: true}}\n'
        'server: {address: "cloud", port: "0"}\n'
        "engine: {threads: 1}\n"
    )
    with serving("--config", str(config), "--profile", str(tmp_path / "profile.json"), "--json") as running:
        address = running.event["address"]
        assert address.startswith("127.0.0.1:")
        with InferenceClient(address, model_name=graph.name) as client:
            assert client.fetch_profile() == profile


def test_a_port_in_use_is_one_line(running: Serving) -> None:
    code, errors = refused("resnet18", "--address", running.event["address"])
    assert code == 3
    assert errors == f"dnn-surgery: error: cannot listen at {running.event['address']}: the port is in use\n"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ([], 2, "no MODEL given"),
        (["vgg61", "--port", "0"], 2, "vgg16"),
        ([FACTORY, "--port", "0"], 2, "--trust-model"),
        (["resnet18", "--port", "70000"], 2, "'70000' is no port"),
        (["resnet18", "--port", "1", "--address", ":1"], 2, "--address or --port"),
        (["resnet18", "--port", "0", "--weights", "nowhere.pth"], 2, "nowhere.pth"),
        (["resnet18", "--port", "0", "--profile", "nowhere.json"], 2, "nowhere.json"),
        (["resnet18", "--port", "0", "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["resnet18", "--port", "0", "--engine", "tarch"], 2, "did you mean 'torch'"),
        (["resnet18", "--port", "0", "--threads", "0"], 2, "from 1 to 1024"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, why: str) -> None:
    got, errors = refused(*arguments)
    assert got == code
    (line,) = (line for line in errors.splitlines() if not line.startswith("dnn-surgery: notice:"))
    assert line.startswith("dnn-surgery: error: ")
    assert why in line


def test_a_profile_of_other_weights_is_refused(tmp_path: Path, graph: ModelGraph) -> None:
    values: dict[str, Any] = {"whole_s": 0.5, "whole_spread_s": 0.0, "repeats": 1, "warmup": 0}
    Profile(graph.name, "0" * 64, (), graph.outputs, **values).save(tmp_path / "other.json")
    code, errors = refused(FACTORY, "--trust-model", "--port", "0", "--profile", str(tmp_path / "other.json"))
    assert code == 2
    assert "of another model or other weights" in errors


def test_credentials_in_the_file_are_not_ignored(tmp_path: Path) -> None:
    config = tmp_path / "configuration.yaml"
    config.write_text("model: {architecture: resnet18}\nserver:\n  port: 0\n  token_file: token.txt\n")
    code, errors = refused("--config", str(config))
    assert code == 2
    assert "configuration.yaml:4: not supported yet by serve: server.token_file" in errors


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")
def test_an_iperf3_server_runs_beside_it_and_ends_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    flags = ("--trust-model", "--device", "cpu", "--threads", "1", "--port", "0", "--json", "--iperf3", str(port))
    with serving(FACTORY, *flags) as running:
        assert run_iperf3("127.0.0.1", port=port, duration_s=1).bandwidth_bps > 0
        assert running.end(signal.SIGTERM) == (0, "")
    with pytest.raises(UnreachableError, match="unable to connect"):
        run_iperf3("127.0.0.1", port=port, duration_s=1)
