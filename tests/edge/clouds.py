"""Servers to kill: a process that has the model ready forks one whenever it is asked to, within milliseconds.

Reads a line for each server, "HOST:PORT" to listen on, and answers with "PID HOST:PORT". SIGUSR1 makes a server slow:
from then on each tail takes a second longer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.cli.serving import REPOSITORY, environment

SLOW_S = 1.0


class Clouds:
    """Serves `factory` at one address, killed and started again as often as one likes; a context manager."""

    def __init__(self, factory: str) -> None:
        self._factory = factory
        self._pid = 0
        self.address = "127.0.0.1:0"

    def __enter__(self) -> Clouds:
        command = [sys.executable, "-m", "tests.edge.clouds", self._factory]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=REPOSITORY
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._process.kill()
        self._process.communicate()

    def start(self) -> None:
        """A new server, at the address of the first one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self.address + "\n")
        self._process.stdin.flush()
        pid, self.address = self._process.stdout.readline().split()
        self._pid = int(pid)

    def kill(self) -> None:
        """SIGKILL: no goodbye to anyone."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = 0

    def send(self, number: signal.Signals) -> None:
        """Sends the server a signal."""
        os.kill(self._pid, number)


def main() -> None:
    """The process behind it; has no thread when it forks."""
    from dnn_surgery.execution.engines import make_engine
    from dnn_surgery.model.reference import load_model

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    graph = load_model(sys.argv[1], trust_model=True)
    engine = make_engine(graph, name="torch", device="cpu", threads=1)
    parent = os.getpid()
    for line in sys.stdin:
        if not os.fork():
            _serve(engine, line.strip(), parent)


def _serve(engine: Any, address: str, parent: int) -> None:
    from dnn_surgery.cloud.server import CloudServer
    from dnn_surgery.execution.engine import Part

    slow: list[bool] = []
    signal.signal(signal.SIGUSR1, lambda *_: slow.append(True))
    build = engine.part

    def part(*tensors: Any) -> Part:
        built = build(*tensors)
        run: Any = type(built).__call__

        class Slowed(type(built)):  # type: ignore[misc]
            def __call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
                time.sleep(SLOW_S if slow else 0)
                return dict(run(self, given))

        built.__class__ = Slowed
        return built

    engine.part = part
    with CloudServer(engine, address=address) as server:
        sys.stdout.write(f"{os.getpid()} {server.address}\n")
        sys.stdout.flush()
        while os.getppid() == parent:
            time.sleep(0.2)
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
