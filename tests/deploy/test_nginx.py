"""The front proxy of deploy/nginx.conf, with paths and addresses of the test's own, before real servers."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import SurgeryError, UnauthenticatedError
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from tests.certificates import Authority
from tests.cloud.network import assert_equal, make, random_input

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
TOKEN = "a-token-of-the-tests"  # noqa: S105 - opens nothing

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")


def wait_until_it_listens(port: int) -> None:
    """Tries until somebody accepts, for ten seconds."""
    for _ in range(200):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


@contextmanager
def front(folder: Path, authority: Authority, upstreams: Sequence[str]) -> Iterator[str]:
    """nginx before the upstreams; yields where it listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    signed = authority.sign("front")
    text = CONFIGURATION.read_text(encoding="utf-8")
    servers = "".join(f"server {upstream} max_fails=1 fail_timeout=5s;\n" for upstream in upstreams)
    text = re.sub(r"( *server 10\.0\.0\.\d+:\d+[^;]*;\n)+", servers, text)
    text = text.replace("listen 50052", f"listen 127.0.0.1:{port}").replace(
        "worker_processes auto", "worker_processes 1"
    )
    text = text.replace("/etc/dnn-surgery/cloud.pem", str(signed.cert)).replace(
        "/etc/dnn-surgery/cloud.key", str(signed.key)
    )
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {", f"http {{\n    {kind}_temp_path {folder}/{kind};", 1)
    text = text.replace("http {", "http {\n    access_log off;", 1)
    path = folder / "nginx.conf"
    path.write_text(f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/log;\n{text}")
    checked = subprocess.run(
        ["nginx", "-t", "-c", str(path), "-e", f"{folder}/log"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(["nginx", "-c", str(path), "-e", f"{folder}/log"])
    try:
        wait_until_it_listens(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


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
