"""What can go wrong on a shaped link, on real sockets: outages, stalls, full queues; and traces."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.network.shaping import LinkState, ShapedLink
from dnn_surgery.network.traces import read_trace
from tests.network.test_shaping import Server, connect, echo, read, read_all

SHORT = Path(__file__).parent / "data" / "short.up"


@pytest.fixture
def echo_server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def wait_for(link: ShapedLink, holds: Callable[[LinkState], bool]) -> LinkState:
    deadline_s = time.monotonic() + 60
    while not holds(state := link.state()):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    return state


def test_a_stall_keeps_connections_open_and_everything_arrives_after_it(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e9) as link, connect(link) as client:
        client.sendall(b"before")
        assert read(client, 6) == b"before"
        link.stall()
        client.sendall(b"during")
        with connect(link) as late:
            late.sendall(b"late")
            for held_up in (client, late):
                held_up.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    held_up.recv(1)
                held_up.settimeout(60)
            state = link.state()
            assert state.is_stalled and not state.is_cut
            assert (state.connections, state.up_bytes, state.down_bytes) == (2, 6, 6)
            link.resume()
            assert (read(client, 6), read(late, 4)) == (b"during", b"late")
        assert not link.state().is_stalled


def test_what_is_in_flight_when_a_stall_begins_arrives_after_it(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, up_bps=1e9, delay_s=0.2) as link, connect(link) as client:
        client.sendall(b"x")
        link.stall()
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.recv(1)
        link.resume()
        client.settimeout(60)
        assert read(client, 1) == b"x"


def test_an_outage_and_a_stall_come_by_the_clock_that_the_first_connection_starts(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, outages=[(0.6, 0.3)], stalls=[(0.2, 0.2)]) as link:
        assert link.state() == LinkState(None, False, False, 0, 0, 0)
        with connect(link) as client:
            stalled = wait_for(link, lambda state: state.is_stalled)
            assert stalled.elapsed_s is not None and stalled.elapsed_s >= 0.2
            client.sendall(b"held up")
            assert read(client, 7) == b"held up"
            assert wait_for(link, lambda state: not state.is_stalled).elapsed_s >= 0.4  # type: ignore[operator]
            with contextlib.suppress(ConnectionResetError):
                assert read_all(client) == b""
        cut = wait_for(link, lambda state: state.is_cut or (state.elapsed_s or 0) > 0.9)
        assert cut.elapsed_s is not None and cut.elapsed_s >= 0.6
        wait_for(link, lambda state: not state.is_cut and (state.elapsed_s or 0) >= 0.9)
        with connect(link) as again:
            again.sendall(b"again")
            assert read(again, 5) == b"again"


def test_a_clock_that_starts_within_a_window_begins_with_it(echo_server: Server) -> None:
    with ShapedLink(echo_server.address, stalls=[(10, 5)], start_at_s=14.7) as link, connect(link) as client:
        client.sendall(b"x")
        assert read(client, 1) == b"x"
        state = link.state()
        assert state.elapsed_s is not None and state.elapsed_s >= 15


@pytest.mark.parametrize("flags", [{"queue_bytes": 100_000}, {"queue_s": 1.6}])
def test_a_sender_is_stopped_when_the_queue_is_full(echo_server: Server, flags: dict[str, float]) -> None:
    """100 kB of queue at 0.5 Mbit/s; beside it the client's own buffer and what leaves meanwhile."""
    with ShapedLink(echo_server.address, up_bps=5e5, **flags) as link:  # type: ignore[arg-type]
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        host, port = link.address.split(":")
        with client:
            client.connect((host, int(port)))
            client.settimeout(0.1)
            taken, started_s = 0, time.monotonic()
            while True:
                try:
                    taken += client.send(bytes(4096))
                except TimeoutError:
                    break
            left = (time.monotonic() - started_s) * 5e5 / 8
        assert 100_000 - 8192 <= taken <= 100_000 + left + 80_000


def test_an_upload_over_a_trace_is_never_faster_than_its_lines(echo_server: Server) -> None:
    trace = read_trace(SHORT)
    for start_at_s in (0.0, 1.1):
        with ShapedLink(echo_server.address, trace=SHORT, start_at_s=start_at_s) as link:
            started_s = time.monotonic()  # before the clock, which starts when the link accepts
            with connect(link) as client:
                client.sendall(bytes(150_000))
                read(client, 150_000)
        assert time.monotonic() - started_s >= trace.finish(start_at_s, 150_000) - start_at_s


def test_the_way_back_follows_its_own_trace(echo_server: Server) -> None:
    trace = read_trace(SHORT)
    with ShapedLink(echo_server.address, up_bps=1e9, down_trace=SHORT) as link:
        started_s = time.monotonic()
        with connect(link) as client:
            client.sendall(bytes(100_000))
            read(client, 100_000)
        assert time.monotonic() - started_s >= trace.finish(0.0, 100_000)
        with pytest.raises(InputError, match="follows a trace"):
            link.set_rate(down_bps=1e6)
        link.set_rate(up_bps=2e6)


def test_what_makes_no_sense_is_refused_before_anything_starts() -> None:
    for options, message in (
        ({"trace": SHORT, "up_bps": 1e6}, "a rate or a trace, not both"),
        ({"trace": "nowhere.up"}, "cannot read this trace"),
        ({"queue_bytes": 1, "queue_s": 1}, "bytes or so many seconds long, not both"),
        ({"queue_s": -1}, "must hold zero or more"),
        ({"outages": [(1, 2), (2, 1)]}, "two outages overlap"),
        ({"stalls": [(-1, 2)]}, "must begin at 0 s or later"),
        ({"start_at_s": -1}, "clock must start at zero or more"),
    ):
        with pytest.raises(InputError, match=message):
            ShapedLink("127.0.0.1:1", **options)


def test_without_a_rate_it_is_as_fast_as_it_can(echo_server: Server) -> None:
    with ShapedLink(echo_server.address) as link, connect(link) as client:
        client.sendall(b"x" * 100)
        assert read(client, 100) == b"x" * 100
