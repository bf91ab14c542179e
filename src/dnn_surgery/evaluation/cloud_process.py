"""A cloud in a process of its own: what an experiment serves from, and kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType

from dnn_surgery.errors import UnreachableError


class CloudProcess:
    """`dnn-surgery serve MODEL` on a free loopback port while the `with` block runs.

    With one thread, since edge and cloud share this machine; `options` are further flags of `serve`.

    Raises:
        UnreachableError: on entering, if it does not come up; its own message is part of the error.
    """

    def __init__(self, model: str, *, port: int = 0, options: Sequence[str] = ()) -> None:
        self._command = [
            sys.executable,
            "-m",
            "dnn_surgery",
            "serve",
            model,
            "--port",
            str(port),
            "--threads",
            "1",
            "--json",
            *options,
        ]
        self.address = ""

    def __enter__(self) -> CloudProcess:
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()
            self._log.seek(0)
            message = " ".join(self._log.read().split()[-60:])
            self._log.close()
            raise UnreachableError(f"the cloud did not come up: {message}")
        self.address = str(json.loads(line)["address"])
        return self

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no goodbye to anyone."""
        self._process.kill()
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()
