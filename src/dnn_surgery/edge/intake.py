"""Several sources of frames as one: threads read, the consumer pulls, one frame a source waits at most.

    specs = [SourceSpec("gate", "rtsp://camera1/sub", rate_hz=5, priority=2), SourceSpec("archive", "footage/")]
    with Intake(specs, overload="skip") as intake:
        for frame in intake:
            ...
    print(intake.counts())

A source with a rate, a camera and a stream are live: they offer a frame when its time has come, whether anybody is
ready or not. Any other source has all its frames kept, as fast as they are pulled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.edge.waiting import Counts, Waiting
from dnn_surgery.errors import SourceError

Overload = Literal["skip", "lower-rate", "block"]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source: its name in results, what :func:`~dnn_surgery.edge.sources.open_source` takes or a camera's number or
    a stream's URL, frames a second (None: all there are), and its priority among several (higher first).
    """

    name: str
    url: str | Path | Iterable[Pixels]
    rate_hz: float | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class TakenFrame:
    """A frame that was taken in, which from then on gets exactly one result.

    `index` runs over all sources and is the order of results; `source_index` is its number among the frames that its
    source offered, so that gaps show what was skipped. `taken_s` is the intake's clock.
    """

    source: str
    index: int
    source_index: int
    name: str
    pixels: Pixels
    taken_s: float


class Intake:
    """Yields frames of all sources, each when the consumer asks for the next one.

    Args:
        specs: the sources; names differ.
        overload: what happens when live sources are faster than the consumer. ``skip``: the newest frame wins, the
            older one is dropped before it is taken in. ``lower-rate``: likewise, and the rates of the sources are
            lowered to what works. ``block``: every frame is kept and the source waits.
        clock: monotonic seconds.
        on_error: told what cannot be read, which is then left out; without it, iterating raises.
        on_notice: told what happens otherwise, for people: connections lost and found, rates lowered.

    Raises:
        InputError: the specs make no sense together.
        SourceError: when entered: a file or folder cannot be read. While iterating: without `on_error`, likewise.
    """

    def __init__(
        self,
        specs: Sequence[SourceSpec],
        *,
        overload: Overload = "skip",
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[SourceError], None] | None = None,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.specs, self.overload = tuple(specs), overload
        self._clock, self._on_error, self._on_notice = clock, on_error, on_notice
        self._waiting = Waiting({spec.name: spec.priority for spec in self.specs})
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> Intake:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[TakenFrame]:
        """Waits for the next frame; ends when all sources have, or when the intake is closed."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the sources; may be called from another thread or a signal handler. What waits is counted as skipped."""

    def counts(self) -> dict[str, Counts]:
        """What became of the frames so far, by source."""
        with self._changed:
            return self._waiting.counts()

    def rate_that_works(self, throughput_hz: float) -> Mapping[str, float]:
        """Frames a second for each source that has a rate, so that together they fit `throughput_hz`."""
        raise NotImplementedError
