"""How fast the link is, as iperf3 measures it: a transfer of its own, to an iperf3 server beside the cloud.

What the other end received counts, not what was sent into the sockets here. iperf3 is a program that has to be
installed; none of it is part of this package.
"""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import dataclass
from typing import Any

from dnn_surgery.errors import InputError, NetworkError, UnreachableError

DEFAULT_PORT = 5201
MISSING = "iperf3 is not installed here: apt install iperf3, or brew install iperf3"

_GRACE_S = 20.0  # beyond the transfer: connecting, and the exchange of results over a slow link


@dataclass(frozen=True, slots=True)
class Iperf3Result:
    """Bits per second that arrived; the mean RTT in seconds during the transfer, with queueing, where that is said."""

    bandwidth_bps: float
    rtt_s: float | None


def run_iperf3(host: str, *, port: int = DEFAULT_PORT, duration_s: int = 3, executable: str = "iperf3") -> Iperf3Result:
    """Uploads to the iperf3 server at `host` for whole seconds and returns what arrived there.

    Raises:
        InputError: iperf3 is not installed here, or the duration is below a second.
        UnreachableError: no iperf3 server answers.
        NetworkError: it answers, but the transfer failed.
    """
    if duration_s < 1:
        raise InputError(f"iperf3 measures for at least 1 s, got {duration_s}")
    where = f"iperf3 to {host}:{port}"
    command = [executable, "-c", host, "-p", str(port), "-t", str(duration_s), "--connect-timeout", "5000", "-J"]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            command, capture_output=True, text=True, timeout=duration_s + _GRACE_S, check=False
        )
    except FileNotFoundError as error:
        raise InputError(MISSING) from error
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"{where}: no result within {duration_s + _GRACE_S:g} s") from error
    return read_output(done.stdout, where, done.stderr)


def read_output(text: str, where: str = "iperf3", complaint: str = "") -> Iperf3Result:
    """Reads what ``iperf3 -J`` printed: ``end.sum_received``.

    Raises:
        UnreachableError: it says that it could not connect. NetworkError: it says that it failed, or nothing.
    """
    try:
        output: Any = json.loads(text)
    except ValueError as error:
        reason = " ".join(complaint.split()) or "it printed no JSON"
        raise NetworkError(f"{where}: {reason}") from error
    failure = output.get("error") if isinstance(output, dict) else "it printed no result"
    if failure is not None:
        kind = UnreachableError if "connect" in failure else NetworkError
        raise kind(f"{where}: {failure}")
    try:
        bandwidth_bps = float(output["end"]["sum_received"]["bits_per_second"])
        rtts_us = [
            stream["sender"]["mean_rtt"] for stream in output["end"]["streams"] if "mean_rtt" in stream["sender"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(f"{where}: it printed no end.sum_received") from error
    if not 0 < bandwidth_bps < math.inf:
        raise NetworkError(f"{where}: nothing was received")
    return Iperf3Result(bandwidth_bps, max(rtts_us) / 1e6 if any(rtts_us) else None)
