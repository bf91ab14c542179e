"""The iperf3 server beside the cloud, for edges that are to measure the link with iperf3."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dnn_surgery.errors import AddressError, InputError
from dnn_surgery.network.iperf3 import MISSING

_SETTLE_S = 0.3  # a server that cannot listen has ended by then


@contextmanager
def iperf3_server(port: int, *, executable: str = "iperf3") -> Iterator[int]:
    """Runs ``iperf3 -s`` at the port, on all addresses, until the context ends; yields the port.

    Raises:
        InputError: iperf3 is not installed here. AddressError: the port is taken.
    """
    command = [executable, "-s", "-p", str(port)]
    try:
        server = subprocess.Popen(  # noqa: S603 - a list, no shell
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    except FileNotFoundError as error:
        raise InputError(MISSING) from error
    with server:
        try:
            time.sleep(_SETTLE_S)
            if server.poll() is not None:
                complaint = server.stderr.read() if server.stderr is not None else ""
                raise AddressError(f"iperf3 cannot listen on port {port}: {' '.join(complaint.split())}")
            yield port
        finally:
            server.terminate()
