"""iperf3: a recorded real output always, the real program over a shaped link where it is installed."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from dnn_surgery.cloud.iperf3 import iperf3_server
from dnn_surgery.errors import AddressError, InputError, NetworkError, UnreachableError
from dnn_surgery.network.iperf3 import Iperf3Result, read_output, run_iperf3
from dnn_surgery.network.shaping import ShapedLink, split_address

RECORDED = (Path(__file__).parent / "data" / "iperf3.json").read_text()

installed = pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_recorded_output_of_iperf3_3_12_is_read() -> None:
    assert read_output(RECORDED) == Iperf3Result(bandwidth_bps=6046020737.441952, rtt_s=0.000228)


@installed
@pytest.mark.timeout(120)
def test_the_real_program_measures_a_shaped_link() -> None:
    with iperf3_server(free_port()) as port, ShapedLink(f"127.0.0.1:{port}", up_bps=8e6, queue_bytes=20_000) as link:
        host, proxied = split_address(link.address)
        result = run_iperf3(host, port=proxied, duration_s=1)
    # Its control connection takes some of the link; nothing can make it faster than the link is.
    assert 1e6 < result.bandwidth_bps <= 8e6 * 1.02


@installed
def test_nobody_there_and_a_port_in_use() -> None:
    port = free_port()
    with pytest.raises(UnreachableError, match=f"iperf3 to 127.0.0.1:{port}: unable to connect"):
        run_iperf3("127.0.0.1", port=port, duration_s=1)
    with iperf3_server(port), pytest.raises(AddressError, match=f"cannot listen on port {port}"), iperf3_server(port):
        pass


def test_without_the_program_one_line_says_so() -> None:
    with pytest.raises(InputError, match="iperf3 is not installed here"):
        run_iperf3("127.0.0.1", executable="no-such-iperf3")
    with pytest.raises(InputError, match="iperf3 is not installed here"), iperf3_server(1, executable="no-such-iperf3"):
        pass
    with pytest.raises(InputError, match="at least 1 s"):
        run_iperf3("127.0.0.1", duration_s=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "iperf3: it printed no JSON"),
        ("[]", "iperf3: it printed no result"),
        ('{"error": "the server is busy running a test"}', "iperf3: the server is busy"),
        ('{"end": {}}', "no end.sum_received"),
        (json.dumps({"end": {"sum_received": {"bits_per_second": 0}, "streams": []}}), "nothing was received"),
    ],
)
def test_other_outputs_are_one_line(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        read_output(text)
