"""Links that change over time, as files: how many bytes may have left by when.

Two formats. **Mahimahi** (any name but ``.csv``): a line is the millisecond at which 1500 bytes may leave; several
equal lines are several times 1500 bytes. What is not used at that moment is lost, what is too large for one waits for
the next, and after the last line the file begins anew at that line's time. **CSV**: lines of ``seconds, Mbit/s``, under
a header or none. A rate holds until the next line's time, the last one as long as the one before it (one line alone:
always). Times count from the first line; then it begins anew.

Everything follows from one function, the bytes that may have left from time 0 on, and its inverse:

    bytes_between(t0, t1) = capacity(t1) - capacity(t0)
    finish(t, size)       = time_of(capacity(t) + size)

All methods take numbers or arrays, and answer likewise.
"""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import InputError

OPPORTUNITY_BYTES = 1500
"""What leaves at each line of a Mahimahi trace."""

Number = TypeVar("Number", float, NDArray[np.float64])

_SNAP_MS = 1e-6  # a time this little below a millisecond was meant to be it: seconds are no exact binary fractions
_LATEST_MS = 10**12


class Trace(ABC):
    """A link's capacity over time, repeating every `duration_s`; `total_bytes` may leave in one round."""

    duration_s: float
    total_bytes: float

    @abstractmethod
    def capacity(self, at_s: Number) -> Number:
        """Bytes that may have left from time 0 to `at_s`, both included (negative before 0)."""

    @abstractmethod
    def time_of(self, size_bytes: Number) -> Number:
        """The earliest time in seconds at which :meth:`capacity` has reached so many bytes."""

    def bytes_between(self, start_s: Number, end_s: Number) -> Number:
        """Bytes that may leave after `start_s` and until `end_s`."""
        return self.capacity(end_s) - self.capacity(start_s)

    def finish(self, start_s: Number, size_bytes: Number) -> Number:
        """When the last of `size_bytes` has left, in seconds, if nothing else is sent from `start_s` on."""
        left_s = self.time_of(self.capacity(start_s) + size_bytes)
        if isinstance(left_s, float):
            return max(start_s, left_s)
        return np.maximum(start_s, left_s)

    def rate_at(self, at_s: Number, window_s: float = 1.0) -> Number:
        """Bits per second, as the mean of `window_s` seconds around `at_s`."""
        return self.bytes_between(at_s - window_s / 2, at_s + window_s / 2) * 8 / window_s

    @property
    def mean_bps(self) -> float:
        """Bits per second over the whole trace."""
        return self.total_bytes * 8 / self.duration_s

    @property
    def peak_bps(self) -> float:
        """The largest rate of any second, in steps of a tenth."""
        steps = np.arange(0.0, max(self.duration_s, 1.0), 0.1)
        return float(self.rate_at(steps).max())


class MahimahiTrace(Trace):
    """Moments at which 1500 bytes may leave, in milliseconds, not decreasing; the last one is also the duration."""

    def __init__(self, moments_ms: NDArray[np.int64]) -> None:
        # As floats: searching integers for a float would convert all of them each time.
        self._moments_ms = moments_ms.astype(np.float64)
        self._duration_ms = int(moments_ms[-1])
        self.duration_s = self._duration_ms / 1e3
        self.total_bytes = float(OPPORTUNITY_BYTES * len(moments_ms))

    def capacity(self, at_s: Number) -> Number:
        """See :meth:`Trace.capacity`."""
        at_ms = (at_s * 1e3 + _SNAP_MS) // 1
        rounds = at_ms // self._duration_ms
        within = self._moments_ms.searchsorted(at_ms - rounds * self._duration_ms, "right")
        return _like(at_s, (rounds * len(self._moments_ms) + within) * OPPORTUNITY_BYTES)

    def time_of(self, size_bytes: Number) -> Number:
        """See :meth:`Trace.time_of`."""
        number = -(-size_bytes // OPPORTUNITY_BYTES) - 1  # of the opportunity that carries the last byte
        rounds = number // len(self._moments_ms)
        index = number - rounds * len(self._moments_ms)
        at_ms = self._moments_ms[index.astype(np.intp) if isinstance(index, np.ndarray) else int(index)]
        return _like(size_bytes, (rounds * self._duration_ms + at_ms) / 1e3)


class SteppedTrace(Trace):
    """Rates in bits per second, each from its time in seconds (the first is 0) on; `duration_s` ends the last one."""

    def __init__(self, starts_s: NDArray[np.float64], rates_bps: NDArray[np.float64], duration_s: float) -> None:
        self._edges_s = np.append(starts_s, duration_s)
        self._byte_rates = rates_bps / 8
        self._reached = np.concatenate([[0.0], np.cumsum(np.diff(self._edges_s) * self._byte_rates)])
        self.duration_s, self.total_bytes = float(duration_s), float(self._reached[-1])

    def capacity(self, at_s: Number) -> Number:
        """See :meth:`Trace.capacity`."""
        rounds = at_s // self.duration_s
        within_s = at_s - rounds * self.duration_s
        return _like(at_s, rounds * self.total_bytes + np.interp(within_s, self._edges_s, self._reached))

    def time_of(self, size_bytes: Number) -> Number:
        """See :meth:`Trace.time_of`."""
        rounds = -(-size_bytes // self.total_bytes) - 1
        within = np.clip(size_bytes - rounds * self.total_bytes, np.nextafter(0, 1), self.total_bytes)
        step = self._reached.searchsorted(within, "left") - 1
        into_s = (within - self._reached[step]) / self._byte_rates[step]
        return _like(size_bytes, rounds * self.duration_s + self._edges_s[step] + into_s)


def read_trace(path: str | Path) -> Trace:
    """Reads and checks a file: CSV if its name ends so, else Mahimahi.

    Raises:
        InputError: there is no such file, or it is no trace; the message names file and line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read this trace: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no trace: it is not text") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path}:1: the trace is empty")
    return _read_csv(path, lines) if path.suffix.lower() == ".csv" else _read_mahimahi(path, lines)


def _read_mahimahi(path: Path, lines: list[str]) -> MahimahiTrace:
    moments = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 14 and int(text) <= _LATEST_MS):
            raise InputError(f"{path}:{number}: expected a whole number of milliseconds, got {_short(text)}")
        moments.append(int(text))
        if number > 1 and moments[-1] < moments[-2]:
            raise InputError(f"{path}:{number}: {moments[-1]} ms comes after {moments[-2]} ms: times must not decrease")
    if moments[-1] == 0:
        raise InputError(f"{path}:{len(lines)}: the trace must end later than at 0 ms")
    return MahimahiTrace(np.array(moments, dtype=np.int64))


def _read_csv(path: Path, lines: list[str]) -> SteppedTrace:
    numbers, rows = [], []
    for number, fields in enumerate(csv.reader(lines), 1):
        row = [_number(field) for field in fields]
        if number == 1 and len(row) == 2 and None in row:
            continue  # the header
        if len(row) != 2 or row[0] is None or row[1] is None or row[1] < 0:
            raise InputError(f"{path}:{number}: expected seconds and Mbit/s, got {_short(','.join(fields))}")
        numbers.append(number)
        rows.append((row[0], row[1] * 1e6))
        if len(rows) > 1 and rows[-1][0] <= rows[-2][0]:
            raise InputError(f"{path}:{number}: {rows[-1][0]:g} s comes after {rows[-2][0]:g} s: times must increase")
    if not rows:
        raise InputError(f"{path}:1: the trace has a header and nothing else")
    if not any(rate for _, rate in rows):
        raise InputError(f"{path}:{numbers[0]}: the rate is 0 throughout")
    starts_s, rates_bps = np.array(rows, dtype=np.float64).T
    starts_s = starts_s - starts_s[0]
    last_s = starts_s[-1] - starts_s[-2] if len(rows) > 1 else 1.0
    trace = SteppedTrace(starts_s, rates_bps, float(starts_s[-1] + last_s))
    if not math.isfinite(trace.total_bytes) or trace.total_bytes <= 0:
        raise InputError(f"{path}:{numbers[0]}: the rates and times are too large or too small to count with")
    return trace


def _like(asked: Number, answer: Any) -> Number:
    """An array where one was asked about; else a number of Python, not of numpy."""
    result: Number = answer if isinstance(asked, np.ndarray) else float(answer)
    return result


def _number(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
