"""Times at which a link is out of order: ``10s+3s`` is from second 10 on, for 3 seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dnn_surgery.errors import InputError, UnitError
from dnn_surgery.units import parse_duration

Window = tuple[float, float]
"""When it begins and how long it lasts, in seconds on the link's clock."""


def parse_window(text: str) -> Window:
    """``10s+3s``: begin and length.

    Raises:
        UnitError: the text is no such pair of durations, or the length is 0.
    """
    start, plus, length = text.partition("+")
    if not plus:
        raise UnitError(f"cannot read {text!r} as a window of time: expected begin+length, such as 10s+3s")
    window = parse_duration(start), parse_duration(length)
    if window[1] == 0:
        raise UnitError(f"the window {text!r} has no length: expected something like 10s+3s")
    return window


def checked_windows(windows: Sequence[Window], what: str) -> tuple[Window, ...]:
    """The windows in order of time.

    Raises:
        InputError: one begins before 0 or has no length, or two overlap.
    """
    in_order = sorted((float(start_s), float(length_s)) for start_s, length_s in windows)
    last_end_s = -math.inf
    for start_s, length_s in in_order:
        if not (0 <= start_s < math.inf and 0 < length_s < math.inf):
            raise InputError(
                f"{what} must begin at 0 s or later and last some time, got {start_s:g} s + {length_s:g} s"
            )
        if start_s < last_end_s:
            raise InputError(f"two {what}s overlap: one ends at {last_end_s:g} s, the next begins at {start_s:g} s")
        last_end_s = start_s + length_s
    return tuple(in_order)
