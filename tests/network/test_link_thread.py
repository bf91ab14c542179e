"""The link in a thread: it leaves no thread, socket or connection behind. What it carries: test_shaping.py."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.network.addresses import split_address
from dnn_surgery.network.link_thread import LinkThread


@pytest.fixture
def target() -> Iterator[str]:
    """Listens and never accepts: what connects stays open."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def link_to(target: str) -> LinkThread:
    return LinkThread(target, up_bps=1e6, down_bps=None, delay_s=0.01, listen="127.0.0.1:0")


@pytest.mark.parametrize("cut", [False, True])
def test_closing_joins_the_thread_and_closes_every_socket(target: str, cut: bool) -> None:
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with contextlib.ExitStack() as clients:
            with link_to(target) as link:
                assert [thread.name for thread in set(threading.enumerate()) - before] == ["shaped-link"]
                for _ in range(20):
                    client = clients.enter_context(socket.create_connection(split_address(link.address), timeout=60))
                    client.sendall(bytes(1000))
                if cut:
                    link.cut()
            assert set(threading.enumerate()) <= before
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_it_can_be_opened_again_at_the_same_address(target: str) -> None:
    link = link_to(target)
    with link:
        address = link.address
    with link:
        assert link.address == address
        socket.create_connection(split_address(address), timeout=60).close()


def test_closed_it_cannot_be_cut_and_cut_it_refuses(target: str) -> None:
    link = link_to(target)
    with pytest.raises(InputError, match="not open"):
        link.cut()
    with link:
        link.cut()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(split_address(link.address), timeout=60)


@pytest.mark.timeout(60)
def test_cutting_while_connections_are_being_made_ends(target: str) -> None:
    with link_to(target) as link, contextlib.ExitStack() as clients:
        for attempt in range(60):
            for _ in range(5):
                client = clients.enter_context(socket.create_connection(split_address(link.address), timeout=60))
                client.sendall(b"x")
            time.sleep(attempt % 12 * 0.0002)  # so that the cut meets each moment of a connection's beginning
            link.cut()
            link.restore()
