"""The outline of a JPEG, WebP or PNG file, checked before a decoder sees it.

Decoders are generous: they follow metadata, repeat scans, inflate texts. Only what an encoder needs for one plain
RGB picture passes here, so neither memory nor time depends on more than the picture's size and the file's length.
"""

from __future__ import annotations

import struct
import zlib

from dnn_surgery.errors import CodecError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB_8_BIT = (8, 2, 0, 0, 0)  # bit depth, RGB, deflate, adaptive filters, not interlaced

_SOI, _EOI, _SOF0, _SOS = 0xD8, 0xD9, 0xC0, 0xDA
# Start of baseline frame, Huffman and quantisation tables, restart interval, JFIF header, comment. Not: progressive
# frames, EXIF and other application data, which decoders would interpret.
_JPEG_ALLOWED = frozenset({_SOF0, 0xC4, 0xDB, 0xDD, 0xE0, 0xFE})


def check_jpeg(data: bytes, *, width: int, height: int) -> None:
    """Passes a baseline JPEG of one scan with three components of the given size.

    Raises:
        CodecError: the file is truncated, of another size, or holds more than such a picture needs.
    """
    if data[:2] != bytes([0xFF, _SOI]):
        raise CodecError("payload is no JPEG")
    if data[-2:] != bytes([0xFF, _EOI]):
        raise CodecError("JPEG payload is truncated: it has no end marker")
    at, frames = 2, 0
    while True:
        if at + 4 > len(data) or data[at] != 0xFF:
            raise CodecError(f"JPEG payload is damaged at byte {at}")
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == _SOS:
            break
        if marker not in _JPEG_ALLOWED or length < 2:
            raise CodecError(
                f"JPEG payload has a segment 0xff{marker:02x} at byte {at}, expected a plain baseline JPEG"
            )
        if marker == _SOF0:
            frames += 1
            _check_frame(data[at + 4 : at + 2 + length], width=width, height=height)
        at += 2 + length
    # Each scan goes over the whole picture; a small file of thousands would keep a core busy for long.
    scans = data.count(bytes([0xFF, _SOS]), at)
    if (frames, scans) != (1, 1):
        raise CodecError(f"JPEG payload has {frames} frames and {scans} scans, expected one of each")


def _check_frame(frame: bytes, *, width: int, height: int) -> None:
    if len(frame) < 6:
        raise CodecError("JPEG payload is damaged: its frame header is too short")
    _, declared_height, declared_width, components = struct.unpack_from(">BHHB", frame)
    _check_size(declared_width, declared_height, width=width, height=height)
    if components != 3:
        raise CodecError(f"JPEG payload has {components} colour components, expected 3")


def check_webp(data: bytes, *, width: int, height: int) -> None:
    """Passes a simple lossy WebP (RFC 9649): one VP8 key frame of the given size and nothing else.

    Raises:
        CodecError: the file is truncated, of another size, or holds more than such a picture needs.
    """
    _check_riff(data, b"VP8 ", "a lossy frame")
    # RFC 6386, 9.1: three bytes whose lowest bit is 0 for a key frame, the start code, 14 bits of each side.
    if data[20] & 1 or data[23:26] != b"\x9d\x01\x2a":
        raise CodecError("WebP payload is damaged: it has no key frame")
    declared_width, declared_height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    _check_size(declared_width, declared_height, width=width, height=height)


def check_webp_lossless(data: bytes, *, width: int, height: int) -> None:
    """Passes a simple lossless WebP (RFC 9649): one VP8L image of the given size, without alpha, and nothing else.

    Raises:
        CodecError: the file is truncated, of another size, or holds more than such a picture needs.
    """
    _check_riff(data, b"VP8L", "a lossless image")
    # RFC 9649, 3.4: a signature byte, 14 bits of each side less 1, a bit for alpha, three bits of version.
    header = struct.unpack_from("<I", data, 21)[0]
    if data[20] != 0x2F or header >> 28:
        raise CodecError("WebP payload is damaged, or has transparency")
    _check_size((header & 0x3FFF) + 1, (header >> 14 & 0x3FFF) + 1, width=width, height=height)


def _check_riff(data: bytes, chunk: bytes, what: str) -> None:
    """A WebP file of that chunk alone."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise CodecError("payload is no WebP")
    if data[12:16] != chunk:
        raise CodecError(f"WebP payload begins with chunk {data[12:16]!r}, expected {what} alone")
    riff_bytes, frame_bytes = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    if riff_bytes + 8 != len(data) or frame_bytes + frame_bytes % 2 + 20 != len(data):
        raise CodecError("WebP payload is truncated or holds more than its frame")


def check_png(data: bytes, *, width: int, height: int) -> None:
    """Passes a PNG of 8-bit RGB, not interlaced, of the given size, of header, data and end alone, each undamaged.

    Raises:
        CodecError: the file is truncated, damaged, of another size or kind, or holds more than such a picture needs.
    """
    if data[:8] != _PNG_SIGNATURE:
        raise CodecError("payload is no PNG")
    at = 8
    names: list[bytes] = []
    pixels = bytearray()
    while at < len(data):
        if at + 12 > len(data):
            raise CodecError("PNG payload is truncated")
        length, name = struct.unpack_from(">I4s", data, at)
        body = memoryview(data)[at + 8 : at + 8 + length]
        if at + 12 + length > len(data):
            raise CodecError("PNG payload is truncated")
        if zlib.crc32(body, zlib.crc32(name)) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise CodecError(f"PNG payload is damaged: the checksum of its chunk at byte {at} is wrong")
        if not names:
            _check_header(name, bytes(body), width=width, height=height)
        if name == b"IDAT":
            pixels += body
        names.append(name)
        at += 12 + length
    if names[-1:] != [b"IEND"] or names != [b"IHDR", *[b"IDAT"] * (len(names) - 2), b"IEND"]:
        raise CodecError("PNG payload is truncated or holds chunks other than header, data and end")
    _check_pixels(bytes(pixels), size_bytes=height * (1 + 3 * width))  # a filter byte before each row


def _check_pixels(deflated: bytes, *, size_bytes: int) -> None:
    # Pillow takes a stream that ends early, and leaves the rows that are missing as they come.
    inflater = zlib.decompressobj()
    try:
        found_bytes = len(inflater.decompress(deflated, size_bytes + 1))
    except zlib.error as error:
        raise CodecError(f"PNG payload is damaged: {error}") from error
    if found_bytes != size_bytes or not inflater.eof or inflater.unused_data:
        raise CodecError(f"PNG payload does not inflate to the {size_bytes} bytes of its rows")


def _check_header(name: bytes, body: bytes, *, width: int, height: int) -> None:
    if name != b"IHDR" or len(body) != 13:
        raise CodecError("PNG payload has no header")
    declared_width, declared_height, *kind = struct.unpack(">II5B", body)
    _check_size(declared_width, declared_height, width=width, height=height)
    if tuple(kind) != _RGB_8_BIT:
        raise CodecError("PNG payload is not of 8-bit RGB, not interlaced")


def _check_size(declared_width: int, declared_height: int, *, width: int, height: int) -> None:
    if (declared_width, declared_height) != (width, height):
        raise CodecError(f"payload is a picture of {declared_height}x{declared_width}, expected {height}x{width}")
