"""The shaped link on real sockets: never faster than it should be, bytes intact and in order, ends passed on.

Times are asserted from below only: nothing on a busy machine can make a link faster than its rate.
How close to the rate it comes: benchmarks/shaping.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dnn_surgery.errors import AddressError, InputError, NetworkError
from dnn_surgery.network.shaping import ShapedLink, join_address, split_address

Handler = Callable[[socket.socket], None]


class Server:
    """Runs `handler` on each connection, in a thread each; `close` ends them all, as a killed process would."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.handler = handler
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.handler(connection)

    def close(self) -> None:
        for open_socket in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def answer_at_end(connection: socket.socket) -> None:
    """Reads until the client has ended its direction, then says how much came."""
    total = 0
    while data := connection.recv(65536):
        total += len(data)
    connection.sendall(b"%d" % total)


def connect(link: ShapedLink) -> socket.socket:
    return socket.create_connection(split_address(link.address), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def read(connection: socket.socket, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes and (more := connection.recv(size_bytes - len(data))):
        data += more
    return bytes(data)


def count_uploaded(link: ShapedLink, size_bytes: int) -> tuple[int, float]:
    """Uploads to a server that answers at the end; returns what it counted and the seconds until its answer."""
    with connect(link) as client:
        start_s = time.monotonic()
        client.sendall(bytes(size_bytes))
        client.shutdown(socket.SHUT_WR)
        return int(read_all(client)), time.monotonic() - start_s


@pytest.fixture
def echo_server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


@pytest.fixture
def counting_server() -> Iterator[Server]:
    with Server(answer_at_end) as server:
        yield server


@pytest.mark.parametrize("delay_s", [0.0, 0.03])
def test_bytes_come_intact_and_in_order(echo_server: Server, delay_s: float) -> None:
    payload = random.Random(3).randbytes(700_000)
    with (
        ShapedLink(echo_server.address, up_bps=50e6, down_bps=80e6, delay_s=delay_s) as link,
        connect(link) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        sent = pool.submit(client.sendall, payload)
        assert read(client, len(payload)) == payload
        sent.result()


def test_many_connections_keep_their_bytes_apart(echo_server: Server) -> None:
    payloads = [random.Random(seed).randbytes(40_000) for seed in range(8)]

    def there_and_back(payload: bytes) -> bytes:
        with connect(link) as client:
            client.sendall(payload)
            return read(client, len(payload))

    with (
        ShapedLink(echo_server.address, up_bps=20e6, down_bps=20e6, delay_s=0.01) as link,
        ThreadPoolExecutor(len(payloads)) as pool,
    ):
        assert list(pool.map(there_and_back, payloads)) == payloads


@pytest.mark.parametrize(("rate_bps", "size_bytes"), [(1e6, 30_000), (20e6, 10_000), (20e6, 500_000), (0.13e6, 5_000)])
def test_an_upload_is_never_faster_than_rate_and_delays(
    counting_server: Server, rate_bps: float, size_bytes: int
) -> None:
    with ShapedLink(counting_server.address, up_bps=rate_bps, delay_s=0.02) as link:
        count, seconds = count_uploaded(link, size_bytes)
    assert count == size_bytes
    assert seconds >= size_bytes * 8 / rate_bps + 2 * 0.02


def test_connections_share_one_rate(counting_server: Server) -> None:
    with ShapedLink(counting_server.address, up_bps=4e6) as link:
        start_s = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            counts = [count for count, _ in pool.map(lambda _: count_uploaded(link, 50_000), range(4))]
        seconds = time.monotonic() - start_s
    assert counts == [50_000] * 4
    assert seconds >= 4 * 50_000 * 8 / 4e6


def test_a_small_message_does_not_wait_for_another_connections_upload(counting_server: Server) -> None:
    with (
        ShapedLink(counting_server.address, up_bps=1e6) as link,
        ThreadPoolExecutor(1) as pool,
    ):
        upload = pool.submit(count_uploaded, link, 5_000_000)  # 40 s at this rate
        time.sleep(0.1)
        assert count_uploaded(link, 100)[0] == 100
        assert not upload.done()
        link.set_rate(up_bps=1e9)
        assert upload.result(timeout=60)[0] == 5_000_000


def test_the_way_back_has_its_own_rate() -> None:
    with (
        Server(lambda connection: connection.sendall(bytes(100_000))) as server,
        ShapedLink(server.address, up_bps=1e3, down_bps=4e6, delay_s=0.01) as link,
    ):
        start_s = time.monotonic()
        with connect(link) as client:
            assert len(read_all(client)) == 100_000
        assert time.monotonic() - start_s >= 100_000 * 8 / 4e6 + 0.01


def test_a_slower_rate_holds_while_running(counting_server: Server) -> None:
    with ShapedLink(counting_server.address, up_bps=100e6) as link:
        link.set_rate(up_bps=1e6)
        _, seconds = count_uploaded(link, 30_000)
    assert seconds >= 0.24


def test_a_faster_rate_frees_an_upload_that_is_under_way(counting_server: Server) -> None:
    with ShapedLink(counting_server.address, up_bps=10e3) as link, ThreadPoolExecutor(1) as pool:
        upload = pool.submit(count_uploaded, link, 200_000)  # 160 s at this rate
        time.sleep(0.1)
        link.set_rate(up_bps=100e6)
        assert upload.result(timeout=60)[0] == 200_000


def test_a_wrong_rate_changes_neither_direction(counting_server: Server) -> None:
    with ShapedLink(counting_server.address, up_bps=1e6) as link:
        with pytest.raises(InputError, match="must be positive"):
            link.set_rate(up_bps=1e9, down_bps=0)
        assert count_uploaded(link, 20_000)[1] >= 0.16


def test_cut_drops_connections_and_refuses_new_ones_until_restored(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e6) as link, connect(link) as client:
        address = link.address
        client.sendall(b"before")
        assert read(client, 6) == b"before"
        link.cut()
        link.cut()
        assert link.is_cut
        with pytest.raises(ConnectionResetError):
            read(client, 1)
        with pytest.raises(ConnectionRefusedError):
            connect(link)
        link.restore()
        link.restore()
        assert (link.address, link.is_cut) == (address, False)
        with connect(link) as again:
            again.sendall(b"after")
            assert read(again, 5) == b"after"


def test_a_target_that_dies_takes_its_clients_along_and_may_come_back() -> None:
    server = Server(echo)
    with ShapedLink(server.address, up_bps=10e6, delay_s=0.01) as link:
        with connect(link) as client:
            client.sendall(b"hello")
            assert read(client, 5) == b"hello"
            server.close()
            with contextlib.suppress(ConnectionResetError):
                assert read_all(client) == b""  # at the latest the socket's timeout makes this fail
        # The link accepts, finds nobody behind it, and resets: maybe even before the client has seen that it connected.
        with contextlib.suppress(ConnectionResetError), connect(link) as client:
            assert read_all(client) == b""
        with Server(echo, server.port), connect(link) as client:
            client.sendall(b"again")
            assert read(client, 5) == b"again"


def test_a_target_that_resets_resets_the_client() -> None:
    def slam(connection: socket.socket) -> None:
        read(connection, 5)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with Server(slam) as server, ShapedLink(server.address, up_bps=10e6) as link, connect(link) as client:
        client.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            read_all(client)


def test_what_was_sent_before_the_end_still_arrives() -> None:
    payload = random.Random(5).randbytes(300_000)
    with (
        Server(lambda connection: connection.sendall(payload)) as server,
        ShapedLink(server.address, up_bps=10e6, down_bps=20e6, delay_s=0.05) as link,
        connect(link) as client,
    ):
        assert read_all(client) == payload


def test_a_client_that_leaves_is_noticed_by_the_target() -> None:
    left = threading.Event()

    def wait_for_end(connection: socket.socket) -> None:
        read_all(connection)
        left.set()

    with Server(wait_for_end) as server, ShapedLink(server.address, up_bps=10e6, delay_s=0.01) as link:
        connect(link).close()
        assert left.wait(30)


def test_a_sender_is_stopped_by_a_slow_link(counting_server: Server) -> None:
    with ShapedLink(counting_server.address, up_bps=10e3) as link, connect(link) as client:
        assert bytes_taken(client) < 12_000_000  # the sockets' own buffers, never what a sender would like to send


def test_a_sender_is_stopped_by_a_receiver_that_does_not_read() -> None:
    release = threading.Event()

    def read_nothing(_: socket.socket) -> None:
        release.wait(60)

    with Server(read_nothing) as server:
        with ShapedLink(server.address, up_bps=1e12) as link, connect(link) as client:
            assert bytes_taken(client) < 40_000_000
        release.set()


def bytes_taken(client: socket.socket) -> int:
    """How much a client can send before it is stopped for half a second."""
    client.settimeout(0.5)
    taken = 0
    with contextlib.suppress(TimeoutError):
        while taken < 100_000_000:
            taken += client.send(bytes(1_000_000))
    return taken


def test_closing_ends_process_connections_and_listening(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e6) as link:
        client = connect(link)
        pid = process_of(link)
        assert is_running(pid)
    assert not is_running(pid)
    with client, contextlib.suppress(ConnectionResetError):
        assert read_all(client) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(link)


def test_a_link_whose_process_is_killed_says_so(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e6) as link, connect(link) as client:
        os.kill(process_of(link), signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client) == b""
        with pytest.raises(NetworkError, match=f"the process of the link at {link.address} has ended"):
            link.set_rate(up_bps=1e6)


def test_a_link_ends_with_the_process_that_opened_it() -> None:
    program = (
        "import time\n"
        "from dnn_surgery.network.shaping import ShapedLink\n"
        "with ShapedLink(up_bps=1e6) as link:\n"
        "    print(link._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as opener:
        assert opener.stdout is not None
        pid = opener.stdout.readline()
        opener.kill()
    assert pid
    give_up_s = time.monotonic() + 60
    while is_running(int(pid)) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    assert not is_running(int(pid))


def process_of(link: ShapedLink) -> int:
    assert link._process is not None
    return link._process.pid


def is_running(pid: int) -> bool:
    """Whether there is such a process that still does something (an orphan's parent may be late to bury it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_closing_while_cut(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e6) as link:
        link.cut()
    with link, connect(link) as client:  # and it can be opened anew
        client.sendall(b"x")
        assert read(client, 1) == b"x"


def test_an_address_in_use(echo_server: Server) -> None:
    with pytest.raises(AddressError, match=f"cannot listen on {echo_server.address}: Address already in use"):
        ShapedLink(echo_server.address, up_bps=1e6, listen=echo_server.address).__enter__()


def test_a_link_that_is_not_open() -> None:
    link = ShapedLink(up_bps=1e6)
    for act in (link.cut, link.restore, lambda: link.set_rate(up_bps=1e6)):
        with pytest.raises(InputError, match="not open"):
            act()


def test_a_link_is_opened_once_at_a_time(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e6) as link:
        with pytest.raises(InputError, match="open already"):
            link.__enter__()
        with connect(link) as client:
            client.sendall(b"still")
            assert read(client, 5) == b"still"


@pytest.mark.parametrize(("up_bps", "down_bps"), [(0, None), (1e6, -1), (float("nan"), None)])
def test_a_rate_that_is_none(up_bps: float, down_bps: float | None) -> None:
    with pytest.raises(InputError, match="rate of a link must be positive"):
        ShapedLink(up_bps=up_bps, down_bps=down_bps)


@pytest.mark.parametrize(
    "target", ["", "cloud", "cloud:", ":50051", "cloud:port", "cloud:70000", "::1:5", "a:٣", "a:1.0"]
)
def test_an_address_that_is_none(target: str) -> None:
    with pytest.raises(InputError, match="as an address"):
        ShapedLink(target, up_bps=1e6)


@pytest.mark.parametrize("delay_s", [-0.001, float("nan"), float("inf")])
def test_a_delay_that_is_none(delay_s: float) -> None:
    with pytest.raises(InputError, match="delay of a link"):
        ShapedLink(up_bps=1e6, delay_s=delay_s)


def test_addresses_read_as_they_are_written() -> None:
    assert split_address("[::1]:80") == ("::1", 80)
    assert join_address(*split_address("[::1]:80")) == "[::1]:80"
    assert join_address(*split_address("cloud:50051")) == "cloud:50051"
