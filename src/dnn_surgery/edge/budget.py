"""A data budget: so many bytes in each period, the first of which begins with the run. Times are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dnn_surgery.errors import InputError, UnitError
from dnn_surgery.planning.goal import PERIOD_S
from dnn_surgery.units import parse_size


@dataclass
class DataBudget:
    """`size_bytes` in every `period_s` seconds.

    Raises:
        InputError: one of them is not positive and finite.
    """

    size_bytes: float
    period_s: float
    _started_s: float | None = None
    _before_bytes: int = 0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value > 0 for value in (self.size_bytes, self.period_s)):
            raise InputError(f"a data budget must be positive, got {self.size_bytes} bytes in {self.period_s} s")

    @classmethod
    def parse(cls, text: str) -> DataBudget:
        """The budget that people write as ``2GB/month`` or ``5MB/min``.

        Raises:
            UnitError: the text is no such budget.
        """
        amount, _, period = text.partition("/")
        period_s = PERIOD_S.get(period.strip().lower())
        if period_s is None:
            raise UnitError(f"cannot read {text!r} as a data budget: expected something like 2GB/month or 5MB/min")
        return cls(parse_size(amount), period_s)

    def left_bytes(self, sent_bytes: int, now_s: float) -> float:
        """What is left of this period, when `sent_bytes` were sent since the run began."""
        if self._started_s is None:
            self._started_s = now_s
        if now_s >= self._started_s + self.period_s:
            self._started_s += self.period_s * math.floor((now_s - self._started_s) / self.period_s)
            self._before_bytes = sent_bytes
        return self.size_bytes - (sent_bytes - self._before_bytes)

    def renewed_in_s(self, now_s: float) -> float:
        """Seconds until the next period begins."""
        return self.period_s if self._started_s is None else self._started_s + self.period_s - now_s
