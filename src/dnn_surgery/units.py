"""Quantities as people and `tc` write them: ``5.85Mbit/s``, ``40ms``, ``2GB``.

1 Mbit = 10^6 bit, 1 kB = 10^3 bytes, 1 KiB = 2^10 bytes. A bare number is in the base unit.
"""

from __future__ import annotations

import math
import re

from dnn_surgery.errors import UnitError

_DECIMAL = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BINARY = {"ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30, "ti": 2.0**40}
_TIME = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z/]*)\s*", re.IGNORECASE)


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    value = float(match.group(1)) if match else math.nan
    if match is None or not math.isfinite(value):
        raise UnitError(f"cannot read {text!r} as {what}: expected something like {example}")
    return value, match.group(2).lower()


def parse_bandwidth(text: str) -> float:
    """Bits per second from ``5.85Mbit/s``, ``5.85mbit``, ``100kbps`` (bits), ``1MB/s`` (bytes).

    As in `tc`, ``bit`` marks bits; here ``bps`` means bits too, and a capital ``B`` before ``/s`` marks bytes.

    Raises:
        UnitError: the text is no positive bandwidth.
    """
    value, unit = _split(text, "a bandwidth", "5.85Mbit/s")
    bits = 8.0 if re.search(r"B(/s)?\s*$", text) else 1.0
    prefix = re.sub(r"(bit/s|bits/s|bit|bits|bps|b/s|b)$", "", unit)
    scale = {**_DECIMAL, **_BINARY}.get(prefix)
    if scale is None:
        raise UnitError(f"cannot read {text!r} as a bandwidth: unknown unit {unit!r}, expected e.g. 5.85Mbit/s")
    if value <= 0:
        raise UnitError(f"bandwidth must be positive, got {text!r}")
    return value * scale * bits


def parse_duration(text: str) -> float:
    """Seconds from ``40ms``, ``1.5s``, ``200us``.

    Raises:
        UnitError: the text is no duration, or a negative one.
    """
    value, unit = _split(text, "a duration", "40ms")
    if unit not in _TIME:
        raise UnitError(f"cannot read {text!r} as a duration: unknown unit {unit!r}, expected something like 40ms")
    if value < 0:
        raise UnitError(f"a duration cannot be negative, got {text!r}")
    return value * _TIME[unit]


def parse_size(text: str) -> int:
    """Bytes from ``2GB``, ``64MiB``, ``4096``.

    Raises:
        UnitError: the text is no size, or a negative one.
    """
    value, unit = _split(text, "a size", "64MiB")
    scale = {**_DECIMAL, **_BINARY}.get(unit.removesuffix("b"))
    if scale is None:
        raise UnitError(f"cannot read {text!r} as a size: unknown unit {unit!r}, expected something like 64MiB")
    if value < 0:
        raise UnitError(f"a size cannot be negative, got {text!r}")
    return round(value * scale)


def format_bandwidth(bandwidth_bps: float) -> str:
    """``5.85 Mbit/s``."""
    for scale, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bandwidth_bps >= scale:
            return f"{bandwidth_bps / scale:.3g} {unit}"
    return f"{bandwidth_bps:.3g} bit/s"


def format_duration(seconds: float) -> str:
    """``41.2 ms``, ``3.70 s``."""
    if seconds == 0:
        return "0 s"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def format_size(size_bytes: float) -> str:
    """``602 kB`` (1 kB = 1000 bytes)."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes:.0f} B"
