"""Addresses of TCP sockets, as text and as host and port."""

from __future__ import annotations

from dnn_surgery.errors import InputError


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``.

    Raises:
        InputError: the text is no such address.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    # At most five ASCII digits: int() would take other digits, and refuse very long ones with an error of its own.
    good_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not colon or not bare or not good_port or (":" in bare and host == bare):
        raise InputError(f"cannot read {text!r} as an address: expected something like 127.0.0.1:50051")
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
