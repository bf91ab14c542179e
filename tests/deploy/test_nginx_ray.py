"""`serve --ray` behind the front proxy that its missing TLS needs, and how it scales under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from dnn_surgery.errors import BusyError, UnauthenticatedError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from tests.certificates import Authority
from tests.cli.serving import REPOSITORY, environment
from tests.cloud.network import assert_equal, random_input
from tests.cloud.ray_models import RAY_MARK, replica_processes
from tests.deploy.front import front, needs_nginx

TOKEN = "a-token-of-the-tests"  # noqa: S105 - opens nothing
STRANGE_TOKEN = "another-token-of-them"  # noqa: S105 - opens nothing
MODEL = "tests.cloud.network:build"

# Ray waits for half a minute of load before it starts another replica; a small machine takes as long to start it.
SCALED_WITHIN_S, CLIENTS = 180.0, 12

pytestmark = [pytest.mark.slow, needs_nginx]


@contextmanager
def serving_on_ray(mark: str, *flags: str) -> Iterator[str]:
    """The command, from its first line to SIGTERM; where it listens."""
    command = [sys.executable, "-m", "dnn_surgery", "serve", MODEL, "--trust-model", "--ray", "--insecure", "--json"]
    command += ["--port", "0", "--replica-cpus", "0.1", *flags]
    variables = {**environment(), "RAY_AUTH_MODE": "disabled", RAY_MARK: mark}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["address"])
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_tls_ends_at_the_proxy_tokens_do_not_and_load_starts_a_second_replica(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve")
    authority, mark = Authority(tmp_path), f"front-{os.getpid()}"
    (tmp_path / "tokens").write_text(f"device:{TOKEN}\n")
    for token in (TOKEN, STRANGE_TOKEN):
        (tmp_path / token).write_text(token)
    graph = load_model(MODEL, trust_model=True)
    inputs = {graph.inputs[0]: random_input()}
    expected = make_engine(graph, device="cpu", threads=1).part(graph.inputs, graph.outputs)(inputs)
    flags = ["--replicas", "1:2", "--token-file", str(tmp_path / "tokens")]
    with serving_on_ray(mark, *flags) as upstream, front(tmp_path, authority, [upstream]) as address:

        def client(token: str) -> InferenceClient:
            credentials = Credentials(ca=authority.cert, token_file=tmp_path / token)
            return InferenceClient(
                address, model_name=graph.name, fingerprint=graph.fingerprint, credentials=credentials, timeout_s=60.0
            )

        with client(TOKEN) as device:
            assert_equal(dict(device.infer(inputs).tensors), expected)
        with client(STRANGE_TOKEN) as stranger, pytest.raises(UnauthenticatedError):
            stranger.infer(inputs)
        assert_is_hidden(address, authority, "/ray.serve.RayServeAPIService/ListApplications")

        assert len(replica_processes(mark)) == 1
        answered = load_until_it_scales(mark, lambda: client(TOKEN), inputs, expected)
        assert len(replica_processes(mark)) == 2
        assert answered["right"] > CLIENTS
        assert set(answered) <= {"right", "refused"}


def load_until_it_scales(
    mark: str, client: Callable[[], InferenceClient], inputs: dict[str, Array], expected: dict[str, Array]
) -> Counter[str]:
    """Clients that always have a request under way, until there is another replica or patience ends."""
    answered: Counter[str] = Counter()
    enough = threading.Event()

    def ask() -> None:
        with client() as device:
            while not enough.is_set():
                try:
                    tensors = device.infer(inputs).tensors
                except BusyError:
                    answered["refused"] += 1
                else:
                    same = all(np.array_equal(tensors[name], array) for name, array in expected.items())
                    answered["right" if same else "wrong"] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for _ in range(round(SCALED_WITHIN_S)):
        if len(replica_processes(mark)) > 1 or enough.wait(1.0):
            break
    enough.set()
    for thread in threads:
        thread.join()
    return answered


def assert_is_hidden(address: str, authority: Authority, path: str) -> None:
    trusted = grpc.ssl_channel_credentials(authority.cert.read_bytes())
    with grpc.secure_channel(address, trusted) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path, request_serializer=None, response_deserializer=None)(b"", timeout=20)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
