"""A `dnn-surgery run` in a process of its own: a camera of an experiment, and every line that it prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from dnn_surgery.errors import UnreachableError

# Loading a network, reading the frames to calibrate with, connecting.
_START_SECONDS = 180.0
# A device that is stopped and let go runs so long at a time: far less than a frame takes.
_SLICE_S = 0.002


@dataclass
class Camera:
    """A `run` process and the lines that it has printed, with the seconds at which they came."""

    process: subprocess.Popen[str]
    log: IO[str]
    times_s: list[float] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    def read(self) -> None:
        """Reads to the end of what it prints."""
        for line in self.process.stdout or ():
            self.times_s.append(time.perf_counter())
            self.records.append(json.loads(line))
        self.ended = True

    def hold(self) -> None:
        """Stops it where it is, until it is throttled or ended."""
        self.process.send_signal(signal.SIGSTOP)

    def has_answered(self, more_than: int) -> bool:
        """Whether so many frames were answered.

        Raises:
            UnreachableError: no more will come; what it said last is part of the error.
        """
        if self.ended and len(self.records) <= more_than:
            self.log.seek(0)
            said = " ".join(self.log.read().split()[-40:])
            raise UnreachableError(f"a device ended after {len(self.records)} frames: {said}")
        return len(self.records) > more_than


@contextmanager
def running(command: Sequence[str]) -> Iterator[Camera]:
    """A `run` process while the context is open; then a signal ends it, and its answers are waited for."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        camera = Camera(process, log)
        reader = threading.Thread(target=camera.read, daemon=True)
        reader.start()
        try:
            yield camera
        finally:
            process.send_signal(signal.SIGCONT)
            # The second one does not wait for the frames under way, which nobody looks at.
            for wait_s in (2.0, 10.0):
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(wait_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                process.kill()
                process.wait()
            reader.join()


@contextmanager
def throttled(camera: Camera, slowdown: float) -> Iterator[None]:
    """Stops a device for all but `1 / slowdown` of the time while the context is open: many slow ones need few
    processors, where doing all work several times over takes one for each."""
    over = threading.Event()

    def alternate() -> None:
        while not over.is_set() and camera.process.poll() is None:
            camera.process.send_signal(signal.SIGCONT)
            time.sleep(_SLICE_S)
            camera.process.send_signal(signal.SIGSTOP)
            time.sleep((slowdown - 1) * _SLICE_S)

    worker = threading.Thread(target=alternate, daemon=True)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
        camera.process.send_signal(signal.SIGCONT)


def wait_for(done: Callable[[], bool]) -> None:
    """Looks twenty times a second.

    Raises:
        UnreachableError: it did not come about for long.
    """
    until_s = time.perf_counter() + _START_SECONDS
    while not done():
        if time.perf_counter() > until_s:
            raise UnreachableError(f"no frames were answered within {_START_SECONDS:g} s")
        time.sleep(0.05)
