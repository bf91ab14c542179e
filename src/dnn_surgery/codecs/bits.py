"""Small numbers packed into bytes without gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.uint8]


def packed_bytes(symbols: int, bits: int) -> int:
    """Bytes that so many symbols take."""
    return (symbols * bits + 7) // 8


def pack(symbols: Symbols, bits: int) -> bytes:
    """Symbols [n] below 2^bits, the first in the lowest bits of the first byte; the last byte is filled with zeros."""
    if bits == 8:
        return symbols.tobytes()
    # Eight symbols fill `bits` bytes, whatever the bits, and fit into one number of 64 bits.
    eights = np.zeros((-(-len(symbols) // 8), 8), np.uint8)
    eights.reshape(-1)[: len(symbols)] = symbols
    words = np.zeros(len(eights), "<u8")
    for index in range(8):
        words |= eights[:, index].astype("<u8") << np.uint64(bits * index)
    return words.view(np.uint8).reshape(-1, 8)[:, :bits].tobytes()[: packed_bytes(len(symbols), bits)]


def unpack(packed: memoryview, symbols: int, bits: int) -> Symbols:
    """The first `symbols` of what :func:`pack` wrote, of which `packed` holds exactly the bytes."""
    if bits == 8:
        return np.frombuffer(packed, np.uint8)
    groups = -(-symbols // 8)
    padded = np.zeros(groups * bits, np.uint8)
    padded[: len(packed)] = np.frombuffer(packed, np.uint8)
    wide = np.zeros((groups, 8), np.uint8)
    wide[:, :bits] = padded.reshape(groups, bits)
    words = wide.reshape(-1).view("<u8")
    eights = np.empty((groups, 8), np.uint8)
    for index in range(8):
        eights[:, index] = (words >> np.uint64(bits * index)) & np.uint64((1 << bits) - 1)
    return eights.reshape(-1)[:symbols]
