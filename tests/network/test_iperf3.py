"""iperf3 as a way to measure, on loopback."""

from __future__ import annotations

import shutil
import socket
import time

import pytest

from dnn_surgery.errors import InputError, NetworkError
from dnn_surgery.network.iperf3 import Iperf3Server, measure

needs_iperf3 = pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@needs_iperf3
def test_it_measures_what_arrives() -> None:
    with Iperf3Server(port=free_port()) as server:
        until_s = time.monotonic() + 20
        while True:
            try:
                assert measure("127.0.0.1", port=server.port) > 1e6
                return
            except NetworkError:  # it has not come up yet
                assert time.monotonic() < until_s
                time.sleep(0.1)


@needs_iperf3
def test_no_server_is_one_clear_line() -> None:
    with pytest.raises(NetworkError, match="serve --iperf3"):
        measure("127.0.0.1", port=free_port())


def test_no_program_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="needs the program iperf3"):
        measure("127.0.0.1")
