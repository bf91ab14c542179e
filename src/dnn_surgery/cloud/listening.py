"""Whether an address can be listened on, and why not, before gRPC tries and logs pages about it."""

from __future__ import annotations

import errno
import socket

from dnn_surgery.errors import AddressError, InputError
from dnn_surgery.protocol.address import Address


def check_listen(address: Address) -> None:
    """Binds every socket address that the host stands for, and lets go of it again.

    Raises:
        AddressError: the port is taken or not ours to take, or the host is no address of this machine.
    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except socket.gaierror as error:
        raise AddressError(f"cannot listen at {address}: the name {address.host!r} does not resolve") from error
    failures: list[OSError] = []
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as listener:
                # As gRPC does: connections of an earlier server that linger in TIME_WAIT are no obstacle.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(where)
        except OSError as error:
            failures.append(error)
    taken = [error for error in failures if isinstance(error, PermissionError) or _is_in_use(error)]
    if taken or len(failures) == len(found):
        cause = (taken or failures)[0]
        reason = "the port is in use" if _is_in_use(cause) else (cause.strerror or str(cause)).lower()
        raise AddressError(f"cannot listen at {address}: {reason}") from cause


def check_exposure(address: Address, *, encrypted: bool, insecure: bool) -> None:
    """Nobody serves the world in the clear by accident.

    Raises:
        InputError: the address is beyond this machine, and neither encrypted nor explicitly allowed to be in the clear.
    """
    if not (address.loopback or encrypted or insecure):
        raise InputError(
            f"refusing to listen at {address} without TLS: give --tls-cert and --tls-key, or --insecure in a network "
            "that you trust"
        )


def _is_in_use(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE
