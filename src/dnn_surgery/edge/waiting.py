"""The one place before the pipeline that each source has for a frame: which frame is next, and which was dropped.

Pure bookkeeping, without threads or a clock: what waits where, what was counted, who is next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dnn_surgery.edge.pictures import Pixels


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a source's frames: `offered` = `skipped` + `taken`, and one that may still wait.

    A frame is offered when its source has it ready at its turn; it is skipped when a newer one took its place before
    the consumer came, or when the intake closed; taken frames are never dropped.
    """

    offered: int = 0
    skipped: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Offered:
    """A frame that waits: its number within its source, its name, and uint8 [H, W, 3]."""

    source_index: int
    name: str
    pixels: Pixels


@dataclass(slots=True)
class _Place:
    priority: int
    waiting: Offered | None = None
    passed: int = 0  # how often another source was taken while this one waited
    since: int = 0  # the turn at which the place was filled: among equals the longest waiting is next
    offered: int = 0
    skipped: int = 0
    taken: int = 0

    @property
    def rank(self) -> tuple[int, int, int]:
        """The place with the highest is next."""
        return self.priority + self.passed, self.priority, -self.since


@dataclass
class Waiting:
    """One place a source. The next frame is of the source with the largest `priority + times passed over`, so that a
    source with a priority p above another's gets p + 1 turns to the other's one, and nobody starves.
    """

    priorities: Mapping[str, int]
    _places: dict[str, _Place] = field(default_factory=dict, init=False)
    _turn: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._places = {name: _Place(priority) for name, priority in self.priorities.items()}

    def is_free(self, source: str) -> bool:
        """Whether nothing of that source waits."""
        return self._places[source].waiting is None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits at all."""
        return all(place.waiting is None for place in self._places.values())

    def offer(self, source: str, name: str, pixels: Pixels) -> None:
        """Puts a frame into its source's place; an older one that waits there is skipped."""
        place = self._places[source]
        if place.waiting is None:
            self._turn += 1
            place.since = self._turn
        else:
            place.skipped += 1
        place.waiting = Offered(place.offered, name, pixels)
        place.offered += 1

    def take(self) -> tuple[str, Offered] | None:
        """The next frame and its source; None if nothing waits."""
        waiting = [(source, place) for source, place in self._places.items() if place.waiting is not None]
        if not waiting:
            return None
        source, chosen = max(
            waiting, key=lambda item: (item[1].priority + item[1].passed, item[1].priority, -item[1].since)
        )
        for _, place in waiting:
            place.passed += 1
        frame, chosen.waiting, chosen.passed = chosen.waiting, None, 0
        chosen.taken += 1
        assert frame is not None  # noqa: S101 - it was chosen because it waits
        return source, frame

    def drop(self, sources: Iterable[str] | None = None) -> None:
        """Skips whatever waits (in these sources' places, or in all)."""
        for source in self._places if sources is None else sources:
            place = self._places[source]
            place.skipped += place.waiting is not None
            place.waiting = None

    def counts(self) -> dict[str, Counts]:
        """By source."""
        return {name: Counts(place.offered, place.skipped, place.taken) for name, place in self._places.items()}
