"""Raw tensors in and out of a message without copying them through message objects.

Field 7 of a request and field 6 of a reply hold one entry of raw bytes for each tensor. Protobuf's own objects copy an
entry twice on the way in and three times on the way out. Here :func:`join` writes the entries behind the rest of the
message (one copy), and :func:`split` takes them off as views (none); the rest is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnn_surgery.errors import TensorError

REQUEST_RAW_FIELD = 7
REPLY_RAW_FIELD = 6
PROBE_PAYLOAD_FIELD = 1

# A field takes two bytes at least: without a bound, a message of empty ones would keep this loop busy for seconds.
MAX_FIELDS = 20_000

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class SplitMessage:
    """A message without its raw entries, and the entries as views into it, in order."""

    rest: bytes
    raw: tuple[memoryview, ...]


def join(rest: bytes, field: int, raw: Sequence[memoryview]) -> bytes:
    """The message `rest` with raw entries appended as `field` (1 to 15). Entries are C-contiguous."""
    tag = bytes([field << 3 | _LENGTH])
    pieces: list[bytes | memoryview] = [rest]
    for entry in raw:
        pieces.append(tag + _varint(entry.nbytes))
        pieces.append(entry)
    return b"".join(pieces)


def split(message: bytes, field: int) -> SplitMessage:
    """Takes the raw entries of `field` off a serialised message.

    Raises:
        TensorError: the bytes are no protobuf message, or one of more than `MAX_FIELDS` fields.
    """
    view = memoryview(message)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    position = rest_start = fields = 0
    while position < len(message):
        start = position
        tag, position = _read_varint(message, position)
        begin, position = _value(message, tag & 7, position)
        fields += 1
        if position > len(message) or fields > MAX_FIELDS:
            what = "ends inside a field" if position > len(message) else f"has more than {MAX_FIELDS} fields"
            raise TensorError(f"malformed message of {len(message)} bytes: it {what}")
        if tag == field << 3 | _LENGTH:
            raw.append(view[begin:position])
            rest.append(view[rest_start:start])
            rest_start = position
    rest.append(view[rest_start:])
    return SplitMessage(b"".join(rest), tuple(raw))


def _value(message: bytes, wire_type: int, position: int) -> tuple[int, int]:
    """Where the value at `position` begins (behind its length) and ends."""
    if wire_type == _LENGTH:
        length, begin = _read_varint(message, position)
        return begin, begin + length
    if wire_type == _VARINT:
        return position, _read_varint(message, position)[1]
    if wire_type in (_FIXED64, _FIXED32):
        return position, position + (8 if wire_type == _FIXED64 else 4)
    raise TensorError(f"malformed message of {len(message)} bytes: unknown wire type {wire_type}")


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise TensorError(f"malformed message of {len(message)} bytes: it ends inside a number")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
