"""Heads and tails that were built once, and what the heads made of each frame, as far as there is room for it: plans
that are verified one after the other mostly differ in their codecs, not in their cuts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.split import Head, Tail

# Each holds the weights once more where the engine compiles.
MOST_CUTS = 3
BUDGET_BYTES = 64 * 2**20
"""Of what the head of one cut made."""


class RememberedCut:
    """Head and tail of one partition; the head runs once for each of the frames, while the budget lasts."""

    def __init__(
        self, engine: Engine, frames: Sequence[Mapping[str, Array]], edge: Iterable[str], *, budget_bytes: int
    ) -> None:
        layers = tuple(edge)
        self.head, self.tail = Head(engine, layers), Tail(engine, layers)
        self._frames, self._room_bytes = frames, budget_bytes
        self._made: dict[int, Mapping[str, Array]] = {}

    def made(self, index: int) -> Mapping[str, Array]:
        """What the head makes of the frame of a number."""
        found = self._made.get(index)
        if found is None:
            found = self.head(self._frames[index])
            size_bytes = sum(array.nbytes for array in found.values())
            if size_bytes <= self._room_bytes:
                self._made[index] = found
                self._room_bytes -= size_bytes
        return found


class RememberedCuts:
    """The last few cuts that were asked for.

    Args:
        engine: builds heads and tails.
        frames: inputs by name, arrays.
        budget_bytes: of what the head of each cut made.
    """

    def __init__(
        self, engine: Engine, frames: Sequence[Mapping[str, Array]], *, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._engine, self._frames, self._budget_bytes = engine, frames, budget_bytes
        self._cuts: dict[frozenset[str], RememberedCut] = {}

    def of(self, edge: Iterable[str]) -> RememberedCut:
        """The cut behind these layers.

        Raises:
            ModelError: they are no partition of the model.
        """
        layers = tuple(edge)
        key = frozenset(layers)
        found = self._cuts.pop(key, None)
        if found is None:
            while len(self._cuts) >= MOST_CUTS:
                del self._cuts[next(iter(self._cuts))]
            found = RememberedCut(self._engine, self._frames, layers, budget_bytes=self._budget_bytes)
        self._cuts[key] = found
        return found
