"""Measures whole heads and tails on this engine, called as the run time calls them: arrays in, arrays out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnn_surgery.calibration.cuts import Cut
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.profiling.measure import Progress, run_rounds
from dnn_surgery.profiling.received import as_received
from dnn_surgery.profiling.rounds import Clock
from dnn_surgery.profiling.scaling import spread_of


@dataclass(frozen=True, slots=True)
class CutTimes:
    """A cut as measured on one device: medians in seconds, and the distance between the quartiles of each.

    `edge` are the layers of the head. `sum_s` is the median of head and tail together, round by round. A tail that has
    nothing to compute takes 0 s.
    """

    edge: Cut
    head_s: float
    tail_s: float
    sum_s: float
    head_spread_s: float
    tail_spread_s: float
    sum_spread_s: float


class CutRounds:
    """Runs the head and the tail of each cut, a round at a time, so that a drift of the machine meets all alike.

    Args:
        engine: what runs them.
        cuts: layers of the heads.
        inputs: named arrays to run them on; the traced example by default.
        clock: monotonic seconds.

    Raises:
        ModelError: a cut is no partition.
        TensorError: `inputs` are not the model's.
    """

    def __init__(
        self,
        engine: Engine,
        cuts: Sequence[Cut],
        *,
        inputs: Mapping[str, Array] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.engine, self.clock = engine, clock
        if inputs is None:
            inputs = {name: engine.to_array(value) for name, value in engine.example().items()}
        self._inputs = {name: as_received(array) for name, array in inputs.items()}
        self._parts = [(Head(engine, cut), Tail(engine, cut)) for cut in cuts]
        self.cuts = tuple(cuts)
        self.forget()

    def forget(self) -> None:
        """Drops what was measured so far."""
        self._heads: list[list[float]] = [[] for _ in self.cuts]
        self._tails: list[list[float]] = [[] for _ in self.cuts]

    @property
    def is_settled(self) -> bool:
        """Always: the layers beside it, or who measures cuts alone, tell when the machine is warm."""
        return True

    def run(self) -> None:
        """One round."""
        for index, (head, tail) in enumerate(self._parts):
            head_s, made = self._timed(lambda head=head: head(self._inputs))  # type: ignore[misc]
            self._heads[index].append(head_s)
            if tail.part is None:
                self._tails[index].append(0.0)
                continue
            received = {name: as_received(made[name]) for name in tail.inputs}
            tail_s, _ = self._timed(lambda tail=tail, arrays=received: tail.part(arrays))  # type: ignore[misc]
            self._tails[index].append(tail_s)

    def times(self) -> tuple[CutTimes, ...]:
        """What the rounds since :meth:`forget` say, cut by cut."""
        return tuple(
            _times(cut, heads, tails) for cut, heads, tails in zip(self.cuts, self._heads, self._tails, strict=True)
        )

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        self.engine.synchronize()
        start = self.clock()
        made = work()
        self.engine.synchronize()
        return self.clock() - start, made


def measure_cuts(
    engine: Engine,
    cuts: Sequence[Cut],
    *,
    inputs: Mapping[str, Array] | None = None,
    repeats: int = 15,
    warmup: int = 3,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
) -> tuple[CutTimes, ...]:
    """Head and tail of each cut, measured interleaved; see :class:`CutRounds`.

    Raises:
        InputError: fewer than 1 repeat.
    """
    if repeats < 1 or warmup < 0:
        raise InputError(f"measuring needs at least 1 repeat and no negative warm-up, got {repeats} and {warmup}")
    rounds = CutRounds(engine, cuts, inputs=inputs, clock=clock)
    run_rounds([rounds], repeats=repeats, warmup=warmup, progress=progress)
    return rounds.times()


def _times(cut: Cut, heads: Sequence[float], tails: Sequence[float]) -> CutTimes:
    sums = [head_s + tail_s for head_s, tail_s in zip(heads, tails, strict=True)]
    return CutTimes(
        edge=cut,
        head_s=statistics.median(heads),
        tail_s=statistics.median(tails),
        sum_s=statistics.median(sums),
        head_spread_s=spread_of(heads),
        tail_spread_s=spread_of(tails),
        sum_spread_s=spread_of(sums),
    )
