"""What the shaped link hides: transfers over real TCP between network namespaces, over those through the proxy.

    client's namespace: TCP --tbf: rate--> tun --> relay: delay --> tun --> TCP: server's namespace

The relay carries IP packets, so connecting, slow start and acknowledgements are the kernel's own (reno, whose slow
start is cubic's too; no namespace may choose cubic everywhere). A message goes up, one byte comes back. Cold: a new
connection, connecting included. Warm: on a connection that has just carried the same message several times. Needs root,
`ip`, `tc` and /dev/net/tun; elsewhere it says what is missing.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.shaping import answering_server
from dnn_surgery.network.addresses import split_address
from dnn_surgery.network.shaping import ShapedLink

CASES = ((5.85e6, 0.02), (18.9e6, 0.02))
"""Bits per second up, seconds of delay each way."""

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)

_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_CLIENT_IP, _SERVER_IP, _PORT = "10.213.77.1", "10.213.77.2", 5000
_MTU_BYTES = 1500
_BURST_S = 0.004  # what tbf lets through at once, as the proxy's chunks are

_Times = dict[str, list[float]]


def run() -> list[Figure]:
    """The ratio of the medians for each size, cold and warm."""
    if reason := why_not():
        return [Figure(f"skipped: {reason}", 0.0, "")]
    figures = []
    for rate_bps, delay_s in CASES:
        with namespaces(rate_bps, delay_s) as (client, server):
            real = _transfers(client, server)
        with answering_server() as target, ShapedLink(target, up_bps=rate_bps, delay_s=delay_s) as link:
            proxied = json.loads(_run_client([], link.address))
        for what, real_s in real.items():
            ours_s, theirs_s = statistics.median(real_s), statistics.median(proxied[what])
            name = f"{rate_bps / 1e6:g} Mbit/s, RTT {2e3 * delay_s:g} ms, {what}: TCP {1e3 * ours_s:.0f} ms"
            figures.append(Figure(f"{name} over proxy {1e3 * theirs_s:.0f} ms", ours_s / theirs_s))
    return figures


def why_not() -> str | None:
    """What is missing here, if anything is."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if missing := [name for name in ("ip", "tc") if shutil.which(name) is None]:
        return f"{missing[0]} is not installed"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    return None


@contextmanager
def namespaces(rate_bps: float, delay_s: float) -> Iterator[tuple[str, str]]:
    """Two namespaces with a link between them; the names of the client's and the server's."""
    names = [f"surgery{os.getpid()}{side}" for side in "cs"]
    tuns: list[int] = []
    try:
        for name, address in zip(names, (_CLIENT_IP, _SERVER_IP), strict=True):
            _do("ip", "netns", "add", name)
            device = f"t{name[-12:]}"
            tuns.append(_open_tun(device))
            _do("ip", "link", "set", device, "netns", name)
            inside = ("ip", "netns", "exec", name)
            _do(*inside, "ip", "addr", "add", f"{address}/30", "dev", device)
            _do(*inside, "ip", "link", "set", device, "mtu", str(_MTU_BYTES), "up")
            _do(*inside, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno", "net.ipv4.tcp_no_metrics_save=1")
        burst = max(2 * _MTU_BYTES, int(rate_bps / 8 * _BURST_S))
        shape = ("root", "tbf", "rate", f"{rate_bps:.0f}bit", "burst", str(burst), "limit", "2000000")
        _do("ip", "netns", "exec", names[0], "tc", "qdisc", "add", "dev", f"t{names[0][-12:]}", *shape)
        with _relaying(tuns[0], tuns[1], delay_s):
            yield names[0], names[1]
    finally:
        for tun in tuns:
            os.close(tun)
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextmanager
def _relaying(one: int, other: int, delay_s: float) -> Iterator[None]:
    """Carries packets between two tun devices, each `delay_s` late, in a thread; this process should do little else."""
    ended = threading.Event()

    def relay() -> None:
        flight: collections.deque[tuple[float, int, bytes]] = collections.deque()
        opposite = {one: other, other: one}
        while not ended.is_set():
            wait_s = max(0.0, flight[0][0] - time.monotonic()) if flight else 0.05
            for tun in select.select([one, other], [], [], wait_s)[0]:
                flight.append((time.monotonic() + delay_s, opposite[tun], os.read(tun, 65536)))
            while flight and flight[0][0] <= time.monotonic():
                _, tun, packet = flight.popleft()
                with contextlib.suppress(OSError):  # what the kernel does not want
                    os.write(tun, packet)

    thread = threading.Thread(target=relay)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _open_tun(device: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
    return tun


def _transfers(client: str, server: str) -> _Times:
    code = f"import benchmarks.namespaces as n; n.serve('{_SERVER_IP}', {_PORT})"
    with subprocess.Popen(
        ["ip", "netns", "exec", server, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()  # it listens
            times: _Times = json.loads(_run_client(["ip", "netns", "exec", client], f"{_SERVER_IP}:{_PORT}"))
            return times
        finally:
            process.kill()


def _run_client(prefix: list[str], address: str) -> str:
    code = f"import benchmarks.namespaces as n; n.transfer('{address}')"
    return subprocess.run([*prefix, sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout


def serve(host: str, port: int) -> None:
    """The server's process: answers until it is killed."""
    with answering_server(host, port):
        print("listening", flush=True)
        threading.Event().wait()


def transfer(address: str) -> None:
    """The client's process: prints the seconds of each transfer, by what it is, as JSON."""
    times: _Times = {}
    for size_bytes in SIZES:
        repeats = 7 if size_bytes < 300_000 else 3
        for _ in range(repeats):
            start_s = time.perf_counter()
            with _connected(address) as connection:
                _send(connection, size_bytes)
                times.setdefault(f"{size_bytes // 1000} kB cold", []).append(time.perf_counter() - start_s)
        with _connected(address) as connection:
            for number in range(2 * repeats):
                start_s = time.perf_counter()
                _send(connection, size_bytes)
                if number >= repeats:
                    times.setdefault(f"{size_bytes // 1000} kB warm", []).append(time.perf_counter() - start_s)
    print(json.dumps(times))


def _connected(address: str) -> socket.socket:
    connection = socket.create_connection(split_address(address), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(connection: socket.socket, size_bytes: int) -> None:
    connection.sendall(size_bytes.to_bytes(8, "big") + bytes(size_bytes - 8))
    connection.recv(1)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
