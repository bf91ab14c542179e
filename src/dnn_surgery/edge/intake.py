"""Several sources of frames as one: threads read, the consumer pulls, one frame a source waits at most.

    specs = [SourceSpec("gate", "rtsp://camera1/sub", rate_hz=5, priority=2), SourceSpec("archive", "footage/")]
    with Intake(specs, overload="skip") as intake:
        for frame in intake:
            ...
    print(intake.counts())

A source with a rate, a camera and a stream are live: they offer a frame when its time has come, whether anybody is
ready or not. Any other source has all its frames kept, as fast as they are pulled.

    reader threads --offer--> one place a source --take--> consumer
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, get_args

from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.edge.rates import Governor, Pace, share_throughput
from dnn_surgery.edge.reading import Surroundings, opened, read
from dnn_surgery.edge.source_specs import SourceSpec, check_specs
from dnn_surgery.edge.sources import Source
from dnn_surgery.edge.waiting import Counts, Waiting
from dnn_surgery.errors import InputError, SourceError

__all__ = ["Counts", "Intake", "Overload", "SourceSpec", "TakenFrame"]

Overload = Literal["skip", "lower-rate", "block"]

_JOIN_S = 2.0  # a thread that hangs in a read for longer ends by itself, when the read does
_SAY_EVERY_S = 60.0


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

    A source with priority p above another's gets p + 1 turns to its one when both wait.

    Args:
        specs: the sources; names differ. Files, folders and iterables are opened on entering, and read by threads.
        overload: what happens when live sources are faster than the consumer. ``skip``: the newest frame wins, the
            older one is dropped before it is taken in. ``lower-rate``: likewise, and the rates of the sources are
            lowered to what works. ``block``: every frame is kept and the source waits; a camera that has to wait drops
            frames itself.
        clock: monotonic seconds.
        on_error: told what cannot be read, which is then left out; without it, iterating raises.
        on_notice: told what happens otherwise, for people: connections lost and found, frames skipped, rates lowered.
            Both are called from several threads.

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
        check_specs(self.specs)
        if overload not in get_args(Overload):
            raise InputError(f"overload must be {', '.join(get_args(Overload))}, got {overload!r}")
        self._clock, self._on_error, self._on_notice = clock, on_error, on_notice
        self._paces = {spec.name: Pace(spec.rate_hz) for spec in self.specs}
        self._priorities = {spec.name: spec.priority for spec in self.specs}
        self._waiting = Waiting(self._priorities)
        rated = {spec.name: spec.rate_hz for spec in self.specs if spec.rate_hz is not None}
        self._governor = Governor(rated, self._priorities)
        # Guards all that follows and what waits; reentrant, so that a signal handler may close.
        self._changed = threading.Condition()
        self._reading: set[str] = set()
        self._failures: dict[str, BaseException] = {}
        self._count = 0
        self._said_s = -math.inf
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Intake:
        if self._threads:
            raise InputError("this intake has been used already: make a new one")
        with ExitStack() as stack:
            sources = []
            for spec in self.specs:
                own = stack.enter_context(ExitStack())
                sources.append((spec, opened(spec.url, own, self._on_error), own))
            stack.pop_all()  # from here on each belongs to the thread that reads it
        self._reading = {spec.name for spec in self.specs}
        for spec, source, own in sources:
            arguments = (spec, source, own)
            thread = threading.Thread(target=self._read, args=arguments, name=f"source {spec.name}", daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for thread in self._threads:
            thread.join(_JOIN_S)
        with self._changed:
            self._waiting.drop()

    def __iter__(self) -> Iterator[TakenFrame]:
        """Waits for the next frame; ends when all sources have, or when the intake is closed."""
        handed_s = None
        while True:
            with self._changed:
                if handed_s is not None:
                    self._governor.pulled(self._clock() - handed_s)
                self._changed.wait_for(self._is_something_to_do)
                frame = self._take()
                notice = self._decide()
            if notice is not None:
                self._on_notice(notice)
            if frame is None:
                return
            handed_s = self._clock()
            yield frame

    def close(self) -> None:
        """Ends the sources and the iteration; may be called from another thread or a signal handler.

        What still waits was never taken in: when the context ends, it is counted as skipped.
        """
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def counts(self) -> dict[str, Counts]:
        """What became of the frames so far, by source."""
        with self._changed:
            return self._waiting.counts()

    @property
    def throughput_hz(self) -> float | None:
        """Frames a second that the consumer has shown to manage; None before it has taken a few."""
        with self._changed:
            return self._governor.throughput_hz

    @property
    def rates_hz(self) -> dict[str, float]:
        """The rates at which the sources that have one offer frames now."""
        with self._changed:
            return dict(self._governor.rates_hz)

    def rate_that_works(self, throughput_hz: float) -> dict[str, float]:
        """Frames a second for each source that has a rate, so that together they fit `throughput_hz`; by priority, see
        :func:`~dnn_surgery.edge.rates.share_throughput`.
        """
        with self._changed:
            return share_throughput(self._governor.wanted_hz, self._priorities, throughput_hz)

    def _read(self, spec: SourceSpec, source: Source | str, own: ExitStack) -> None:
        """What the thread of a source does."""
        around = Surroundings(
            offer=lambda name, pixels, keep: self._offer(spec.name, name, pixels, keep),
            stop=self._stop,
            clock=self._clock,
            say=self._on_notice,
            found_rate=lambda rate_hz: self._found_rate(spec, rate_hz),
        )
        failure: BaseException | None = None
        try:
            with own:
                read(spec.name, source, self._paces[spec.name], self.overload == "block", around)
        except SourceError as error:
            if self._on_error is None:
                failure = error
            else:
                self._on_error(error)
        except BaseException as error:  # noqa: BLE001 - a user's iterable may raise anything; raised by the iterator
            failure = error
        with self._changed:
            self._reading.discard(spec.name)
            if failure is not None:
                self._failures[spec.name] = failure
            self._changed.notify_all()

    def _offer(self, source: str, name: str, pixels: Pixels, keep: bool) -> bool:
        with self._changed:
            if keep:
                self._changed.wait_for(lambda: self._stop.is_set() or self._waiting.is_free(source))
            if self._stop.is_set():
                return False
            if not self._waiting.is_free(source):
                self._governor.skipped(self._clock())
            self._waiting.offer(source, name, pixels)
            self._changed.notify_all()
        return True

    def _found_rate(self, spec: SourceSpec, rate_hz: float) -> None:
        """A live source without a rate of its own has its stream's, from which it can be lowered."""
        with self._changed:
            if spec.rate_hz is None and spec.name not in self._governor.wanted_hz:
                self._governor.wanted_hz[spec.name] = self._governor.rates_hz[spec.name] = rate_hz

    def _is_something_to_do(self) -> bool:
        return self._stop.is_set() or not self._waiting.is_empty or not self._reading or bool(self._failures)

    def _take(self) -> TakenFrame | None:
        """The next frame; None at the end of all.

        Raises:
            Exception: a source has failed, and nothing of it waits any more.
        """
        if self._stop.is_set():
            return None
        for source, failure in self._failures.items():
            if self._waiting.is_free(source):
                raise failure
        taken = self._waiting.take()
        if taken is None:
            return None
        self._changed.notify_all()
        source, frame = taken
        index, self._count = self._count, self._count + 1
        return TakenFrame(source, index, frame.source_index, frame.name, frame.pixels, self._clock())

    def _decide(self) -> str | None:
        """Lowers or raises rates if that is asked for; what people should know."""
        now_s, governor = self._clock(), self._governor
        throughput_hz = governor.throughput_hz
        if throughput_hz is None or not governor.wanted_hz:
            return None
        manages = f"{throughput_hz:.3g} frames/s are managed"
        if self.overload == "lower-rate":
            if not governor.decide(now_s):
                return None
            for name, rate_hz in governor.rates_hz.items():
                self._paces[name].rate_hz = rate_hz
            return f"{manages}: rates are now {_rates(governor.rates_hz)}"
        if not governor.has_skipped or now_s - self._said_s < _SAY_EVERY_S:
            return None
        self._said_s = now_s
        works = share_throughput(governor.wanted_hz, self._priorities, throughput_hz)
        return f"frames are skipped, {manages}; rates that would work: {_rates(works)}"


def _rates(rates_hz: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate_hz:.3g}/s" for name, rate_hz in rates_hz.items())
