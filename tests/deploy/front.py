"""nginx with deploy/nginx.conf, with paths and addresses of a test's own."""

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

from tests.certificates import Authority

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")


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
