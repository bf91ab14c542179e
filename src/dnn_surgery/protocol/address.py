"""Where a server listens: ``127.0.0.1:50051``, ``cloud:50051``, ``[::1]:50051``."""

from __future__ import annotations

from dataclasses import dataclass

from dnn_surgery.errors import InputError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 50051

_LOOPBACK = ("localhost", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """Host and TCP port; port 0 asks for any free one."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    @property
    def loopback(self) -> bool:
        """Whether only this machine can be meant."""
        return self.host in _LOOPBACK or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, default_port: int = DEFAULT_PORT) -> Address:
    """The address in ``host:port``, ``host`` or ``:port``; an IPv6 host stands in brackets where a port follows.

    Raises:
        InputError: the port is no number from 0 to 65535, or the host is malformed.
    """
    host, port = text.strip(), str(default_port)
    if host.startswith("["):
        host, bracket, port_part = host[1:].partition("]")
        port = port_part.removeprefix(":") or port
        if not bracket or (port_part and not port_part.startswith(":")):
            raise InputError(f"cannot read {text!r} as an address: expected something like [::1]:50051")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InputError(f"cannot read {text!r} as an address: {port!r} is no port, expected 0 to 65535")
    if any(character.isspace() or character in "/[]" for character in host):
        raise InputError(f"cannot read {text!r} as an address: expected something like {DEFAULT_HOST}:{DEFAULT_PORT}")
    return Address(host or DEFAULT_HOST, int(port))
