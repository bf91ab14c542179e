"""The front proxy of deploy/nginx.conf before real servers. Before Ray Serve: test_nginx_ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import SurgeryError, UnauthenticatedError
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from tests.certificates import Authority
from tests.cloud.network import assert_equal, make, random_input
from tests.deploy.front import front, needs_nginx

TOKEN = "a-token-of-the-tests"  # noqa: S105 - opens nothing

pytestmark = needs_nginx


def test_tls_ends_at_the_proxy_tokens_do_not_and_a_dead_server_is_left_out(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"device:{TOKEN}\n")
    engine = make()
    graph = engine.graph
    inputs = {graph.inputs[0]: random_input()}
    expected = engine.part(graph.inputs, graph.outputs)(inputs)
    answers: list[list[str]] = [[], []]

    def watched(its: list[str]) -> CloudServer:
        return CloudServer(make(), tokens=TokenFile(tokens), observers=[lambda call: its.append(call.status)])

    first, second = watched(answers[0]), watched(answers[1])
    with first, second, front(tmp_path, authority, [first.address, second.address]) as address:

        def client(token: str) -> InferenceClient:
            (tmp_path / "token").write_text(token)
            credentials = Credentials(ca=authority.cert, token_file=tmp_path / "token")
            return InferenceClient(
                address, model_name=graph.name, fingerprint=graph.fingerprint, credentials=credentials, timeout_s=30.0
            )

        with client(TOKEN) as device:
            for _ in range(10):
                assert_equal(dict(device.infer(inputs).tensors), expected)
            assert all("OK" in its for its in answers), "both servers should have had requests"
            first.stop()
            answered = 0
            for _ in range(10):
                try:
                    assert_equal(dict(device.infer(inputs).tensors), expected)
                    answered += 1
                except SurgeryError:
                    pass  # what was under way to the one that stopped is the edge's to finish
            assert answered >= 8
        with client("another-token-of-them") as stranger, pytest.raises(UnauthenticatedError):
            stranger.infer(inputs)
