"""`dnn-surgery link` as a process: it carries bytes, follows its clock, says so, and ends at a signal."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.network.addresses import split_address

TRACE = Path(__file__).parents[1] / "network" / "data" / "short.up"


class Command:
    """The command with --json, its lines as they come."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "dnn_surgery", "link", "--listen", "127.0.0.1:0", "--json", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = split_address(self.until("listening")["address"])

    def until(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            record: dict[str, Any] = json.loads(line)
            if record["event"] == event:
                return record
        raise AssertionError(f"it ended before it said {event}")


@contextmanager
def link(*flags: str) -> Iterator[Command]:
    command = Command(*flags)
    try:
        yield command
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(60) == 0
    finally:
        command.process.kill()
        command.process.communicate()


@pytest.fixture
def echo() -> Iterator[str]:
    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def there_and_back(connection: socket.socket, size_bytes: int) -> float:
    start_s = time.monotonic()
    connection.sendall(bytes(size_bytes))
    received = 0
    while received < size_bytes:
        received += len(connection.recv(65536))
    return time.monotonic() - start_s


def test_rate_and_delay_hold_in_both_directions(echo: str) -> None:
    with link("--target", echo, "--rate", "1mbit", "--delay", "20ms", "--every", "50ms") as command:
        with socket.create_connection(command.address, timeout=60) as client:
            # The way back begins as soon as the first bytes arrive.
            assert there_and_back(client, 25_000) >= 0.2 + 0.04
        moved = command.until("moved")
        assert moved["up_bytes"] > 0


def test_a_trace_an_outage_and_a_stall_by_the_clock(echo: str) -> None:
    flags = ("--trace-up", str(TRACE), "--start-at", "1.5s", "--stall", "1.7s+200ms", "--outage", "2s+300ms")
    with link("--target", echo, *flags) as command, socket.create_connection(command.address, timeout=60) as client:
        assert command.until("connection")["at_s"] == 1.5
        stalled_s = command.until("stalled")["at_s"]
        assert stalled_s >= 1.7
        client.sendall(b"x")
        assert command.until("moving")["at_s"] >= 1.9
        assert client.recv(1) == b"x"
        assert command.until("cut")["at_s"] >= 2.0
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        command.until("restored")
        with socket.create_connection(command.address, timeout=60) as again:
            there_and_back(again, 1000)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--outage", "10s"], "cannot read '10s' as a window of time: expected begin+length, such as 10s+3s"),
        (["--outage", "10s+0s"], "the window '10s+0s' has no length"),
        (["--stall", "1s+3s", "--stall", "2s+1s"], "two stalls overlap: one ends at 4 s, the next begins at 2 s"),
        (["--queue", "7"], "cannot read '7' as a queue: expected a size or a time"),
        (["--trace-up", "nowhere.up"], "nowhere.up: cannot read this trace"),
        (["--trace-up", str(TRACE), "--rate", "1mbit", "--down", "1mbit"], "--trace-up and --rate both say"),
        (["--trace-down", str(TRACE), "--down", "1mbit"], "--trace-down goes without --down"),
        (["--every", "0s"], "--every must be longer than nothing"),
        (["--target", "nowhere"], "cannot read 'nowhere' as an address"),
    ],
)
def test_bad_flags_are_one_line(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--listen", "127.0.0.1:0", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_its_help_says_what_a_proxy_hides(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["link", "--help"])
    assert "slow start" in capsys.readouterr().out
