"""The link's rate as iperf3 sees it: one TCP connection at full speed for a second. Needs the program iperf3."""

from __future__ import annotations

import json
import shutil
import subprocess
from types import TracebackType
from typing import Any

from dnn_surgery.errors import InputError, NetworkError

DEFAULT_PORT = 5201

_GRACE_S = 10.0


def measure(host: str, *, port: int = DEFAULT_PORT, seconds: int = 1) -> float:
    """Bits per second that arrived at an iperf3 server there (``end.sum_received``), in a run of so many seconds.

    Raises:
        InputError: there is no program iperf3.
        NetworkError: no iperf3 server answers there.
    """
    command = [_program(), "-c", host, "-p", str(port), "-t", str(seconds), "-J"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_S)  # noqa: S603
        record: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise NetworkError(f"no iperf3 server answers at {host}:{port} (start one with serve --iperf3)") from error
    if "error" in record or not record.get("end"):
        reason = record.get("error", "no result")
        raise NetworkError(f"iperf3 to {host}:{port} failed (start its server with serve --iperf3): {reason}")
    return float(record["end"]["sum_received"]["bits_per_second"])


class Iperf3Server:
    """``iperf3 -s`` while the context is open.

    Raises:
        InputError: on entering, if there is no program iperf3.
    """

    def __init__(self, *, port: int = DEFAULT_PORT) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Iperf3Server:
        command = [_program(), "-s", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _program() -> str:
    found = shutil.which("iperf3")
    if found is None:
        raise InputError("measuring with iperf3 needs the program iperf3 (a package of most systems)")
    return found
