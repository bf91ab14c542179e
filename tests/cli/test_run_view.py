"""What people see of `dnn-surgery run` on a terminal: a real one, as far as the command can tell."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.serving import Serving, environment
from tests.cli.test_run import MODEL, server
from tests.evaluation.pictures import BIKES

__all__ = ["server"]

SENDS = "(?:light|heavy|congested)"  # DADS's modes
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A run with a terminal for its output."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dnn_surgery", "run", *MODEL, *arguments],
            stdout=slave,
            stderr=slave,
            env={**environment(), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        )
        os.close(slave)
        self.shown = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        """Reads what is shown until it matches; the text before is dropped."""
        while (found := re.search(pattern, self.shown)) is None:
            try:
                text = os.read(self._master, 65536).decode(errors="replace")
            except OSError as error:  # the command has ended
                raise AssertionError(f"never showed {pattern!r}, but: {self.shown[-2000:]}") from error
            self.shown += _ESCAPES.sub("", text)
        self.shown = self.shown[found.end() :]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(server: Serving) -> Iterator[Terminal]:
    address = server.event["address"]
    started = Terminal("--server", address, "--source", str(BIKES), "--rate", "5", "--cut", "first.0")
    yield started
    started.close()


def test_the_view_shows_mode_cut_link_rate_latency_and_local_finishes(terminal: Terminal) -> None:
    terminal.read_until(r"bikes\.mp4#\d+: ")  # the lines of frames stay above the view
    view = terminal.read_until(
        r"mode +(?P<mode>[^\r\n]+?) *\r\n"
        r" *cut +(?P<cut>first\.0) *\r\n"
        r" *link +(?P<link>[\d.]+ [kMG]bit/s \([^\r\n]+?\), RTT [^\r\n]+? sent) *\r\n"
        r" *frames +(?P<frames>[1-9]\d*), (?P<rate>[\d.]+) a second *\r\n"
        r" *latency +[\d.]+ m?s \(median\), [\d.]+ m?s \(95th percentile\) *\r\n"
        r" *here instead +0 finished here because the cloud could not"
    )
    assert re.fullmatch(SENDS, view["mode"])
    assert 0 < float(view["rate"]) < 20
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(r"answered by the cloud")  # the receipt, once the view is gone
    assert terminal.process.wait() == 0


def test_a_dead_server_is_seen_in_the_view(terminal: Terminal, server: Serving) -> None:
    terminal.read_until(rf"mode +{SENDS}")
    server.process.send_signal(signal.SIGSTOP)
    try:
        terminal.read_until(r"mode +the cloud is lost: all stays here")
        assert int(terminal.read_until(r"here instead +(\d+) finished here")[1]) >= 0
    finally:
        server.process.send_signal(signal.SIGCONT)
    terminal.read_until(rf"mode +{SENDS}")
