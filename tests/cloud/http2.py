"""A client of HTTP/2 that behaves badly on purpose: it stops where it likes."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from types import TracebackType

from dnn_surgery.network.addresses import split_address
from dnn_surgery.protocol import methods

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


@dataclass
class BadClient:
    """A bare connection. What the server sends is read by :meth:`frames`."""

    address: str
    socket: socket.socket = field(init=False)

    def __enter__(self) -> BadClient:
        self.socket = socket.create_connection(split_address(self.address), timeout=20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def shake_hands(self) -> None:
        self.socket.sendall(PREFACE + frame(SETTINGS))

    def begin_call(self, stream: int, announced_bytes: int, *, path: str = methods.MODEL_INFER.path) -> None:
        """Headers, and a message's length."""
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": self.address}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        block = b"".join(b"\0" + literal(name) + literal(value) for name, value in headers.items())
        self.socket.sendall(frame(HEADERS, block, END_HEADERS, stream))
        self.send(stream, b"\0" + announced_bytes.to_bytes(4, "big"))

    def send(self, stream: int, data: bytes) -> None:
        self.socket.sendall(frame(DATA, data, 0, stream))

    def read_frame(self) -> tuple[int, int, int] | None:
        """Type, flags and stream of the server's next frame; None when it has hung up."""
        head = self._read(9)
        if head is None:
            return None
        self._read(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big")

    def ended_streams(self, count: int) -> set[int]:
        """Waits until the server has ended so many streams; which."""
        ended: set[int] = set()
        while len(ended) < count:
            got = self.read_frame()
            assert got is not None, f"the server hung up after it had ended {sorted(ended)}"
            kind, flags, stream = got
            if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                ended.add(stream)
        return ended

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                return None
            data += more
        return data


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(text: str) -> bytes:
    """A string of HPACK, not compressed."""
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()
