"""How true the shaped link is: rate within 5 %, delay within 2 ms.

A message goes up, one byte comes back: expected are `8 * size / rate + 2 * delay` seconds. What loopback and this
program take by themselves is part of the deviation.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dnn_surgery.network.shaping import ShapedLink, split_address

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


@dataclass(frozen=True, slots=True)
class Row:
    """`late_s` is measured minus expected time of a message: median, and the worst."""

    rate_bps: float
    size_bytes: int
    delay_s: float
    messages: int
    expected_s: float
    late_s: float
    worst_late_s: float


def run() -> list[Row]:
    """Measures every case on loopback."""
    rows = []
    with answering_server() as target:
        for mbps, size_bytes, delay_s, messages in CASES:
            rows.append(measure(target, mbps * 1e6, size_bytes, delay_s=delay_s, messages=messages))
    return rows


def measure(target: str, rate_bps: float, size_bytes: int, *, delay_s: float, messages: int) -> Row:
    """One rate, size and delay; the first message is warm-up."""
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
    lateness = lateness[-messages:]
    return Row(rate_bps, size_bytes, delay_s, messages, expected_s, statistics.median(lateness), max(lateness))


@contextmanager
def answering_server() -> Iterator[str]:
    """A server that answers each message (its first 8 bytes are its size) with one byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
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


def show(rows: list[Row]) -> str:
    """A table."""
    lines = ["    Mbit/s      bytes  delay ms  expected ms  late ms (median)  late ms (worst)  rate"]
    for row in rows:
        share = row.expected_s / (row.expected_s + row.late_s)
        lines.append(
            f"{row.rate_bps / 1e6:10.2f} {row.size_bytes:10d} {row.delay_s * 1e3:9.1f} {row.expected_s * 1e3:12.2f}"
            f" {row.late_s * 1e3:17.2f} {row.worst_late_s * 1e3:16.2f} {share:5.1%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(show(run()))
