"""What a benchmark measured, and whether its goal holds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. A goal is an upper or a lower bound; without either the figure is for information.

    `spread` is the distance between the quartiles, in the figure's unit, where the figure is a median.
    """

    name: str
    value: float
    unit: str = "x"
    at_most: float | None = None
    at_least: float | None = None
    spread: float | None = None

    @property
    def text(self) -> str:
        """The figure with its unit, as people write it."""
        return f"{self.value:.4g} {self.unit}"

    @property
    def goal(self) -> str:
        """The goal as people write it."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None


def interleaved(calls: Sequence[Callable[[], object]], *, repeats: int, warmup: int = 2) -> list[list[float]]:
    """Seconds of each call, taken in turn (a b a b ...), so that a machine that drifts drifts for all of them."""
    seconds: list[list[float]] = [[] for _ in calls]
    for done in range(warmup + repeats):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if done >= warmup:
                seconds[index].append(time.perf_counter() - start)
    return seconds


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], *, at_most: float | None = None) -> Figure:
    """The median of `ours` over the median of `theirs`; the spread is that of the ratios pair by pair."""
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    value = statistics.median(ours) / statistics.median(theirs)
    return Figure(name, value, at_most=at_most, spread=quartile_range(pairs))


def quartile_range(values: Sequence[float]) -> float:
    """The distance between the quartiles; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
