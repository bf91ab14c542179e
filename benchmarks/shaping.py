"""How true the shaped link is: rate within 5 %, delay within 2 ms, traces to the same.

A message goes up, one byte comes back: expected are `8 * size / rate + 2 * delay` seconds, or what a trace says. What
loopback and this program take by themselves is part of the deviation.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure, quartile_range
from dnn_surgery.network.addresses import split_address
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.network.traces import read_trace

CASES = (
    # Mbit/s, bytes a message, seconds of delay, messages
    (0.13, 10_000, 0.02, 3),
    (0.13, 100_000, 0.02, 1),
    (1.0, 100_000, 0.02, 3),
    (1.1, 10_000, 0.0, 20),
    (5.85, 100_000, 0.02, 10),
    (20.0, 10_000, 0.0, 100),
    (20.0, 10_000, 0.02, 50),
    (20.0, 1_000, 0.02, 50),
    (20.0, 1_000_000, 0.02, 5),
    (100.0, 1_000_000, 0.005, 20),
    (1000.0, 10_000_000, 0.0, 10),
)

UPLOADS, UPLOAD_BYTES = 30, 40_000
OWN = Path(__file__).parents[1] / "tests" / "network" / "data" / "short.up"
SHARED = Path(__file__).parents[2] / "shared" / "traces"  # beside the checkout, where there are any


def run() -> list[Figure]:
    """Measures every case on loopback: the rate that large messages get, and how late small ones are."""
    figures = []
    with answering_server() as target:
        for mbps, size_bytes, delay_s, messages in CASES:
            late_s, expected_s = measure(target, mbps * 1e6, size_bytes, delay_s=delay_s, messages=messages)
            what = f"{mbps:g} Mbit/s, {delay_s * 1e3:g} ms, {size_bytes} bytes"
            middle_s, spread_s = statistics.median(late_s), quartile_range(late_s)
            if expected_s - 2 * delay_s > 0.02:
                share = middle_s / (expected_s - 2 * delay_s)
                figures.append(Figure(f"{what}: rate off by", 100 * abs(share), "%", at_most=5.0))
            else:
                figures.append(Figure(f"{what}: late by", 1e3 * middle_s, "ms", at_most=2.0, spread=1e3 * spread_s))
        for path in (*sorted(SHARED.glob("*.up")), OWN):
            figures += follow(target, path)
    return figures


def follow(target: str, path: Path) -> list[Figure]:
    """Uploads over a trace, one after the other: how far the whole is off, and how late each one is."""
    trace, delay_s, late_s = read_trace(path), 0.02, []
    with ShapedLink(target, trace=path, delay_s=delay_s) as link:
        before_s = time.perf_counter()
        with socket.create_connection(split_address(link.address)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            origin_s = (before_s + time.perf_counter()) / 2  # the link's clock began in between
            for _ in range(UPLOADS):
                start_s = time.perf_counter()
                client.sendall(UPLOAD_BYTES.to_bytes(8, "big") + bytes(UPLOAD_BYTES - 8))
                client.recv(1)
                arrived_s = trace.finish(start_s - origin_s, UPLOAD_BYTES) + 2 * delay_s
                late_s.append(time.perf_counter() - origin_s - arrived_s)
            took_s = time.perf_counter() - origin_s
    off_s, middle_s, spread_s = sum(late_s), statistics.median(late_s), quartile_range(late_s)
    return [
        Figure(f"{path.name}, {UPLOADS} uploads: rate off by", 100 * abs(off_s) / took_s, "%", at_most=5.0),
        Figure(f"{path.name}: an upload late by", 1e3 * middle_s, "ms", at_most=2.0, spread=1e3 * spread_s),
    ]


def measure(
    target: str, rate_bps: float, size_bytes: int, *, delay_s: float, messages: int
) -> tuple[list[float], float]:
    """How late each message was, and the seconds expected. The first message is warm-up."""
    expected_s = size_bytes * 8 / rate_bps + 2 * delay_s
    payload = bytes(size_bytes)
    lateness = []
    with (
        ShapedLink(target, up_bps=rate_bps, delay_s=delay_s) as link,
        socket.create_connection(split_address(link.address)) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(messages + (messages > 3)):
            start_s = time.perf_counter()
            client.sendall(size_bytes.to_bytes(8, "big") + payload[8:])
            client.recv(1)
            lateness.append(time.perf_counter() - start_s - expected_s)
            time.sleep(0.002)
    return lateness[-messages:], expected_s


@contextmanager
def answering_server(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """A server that answers each message (its first 8 bytes are its size) with one byte."""
    with socket.create_server((host, port)) as listener:
        thread = threading.Thread(target=_serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"{host}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        # A link that closes resets what it carries: that ends this connection, not the server.
        with contextlib.suppress(ConnectionResetError), connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while header := stream.read(8):
                stream.read(int.from_bytes(header, "big") - 8)
                connection.sendall(b"!")
