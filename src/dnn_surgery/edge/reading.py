"""The thread that reads one source and offers its frames, each when it is due."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dnn_surgery.edge.live_video import check_available, is_live, open_live, without_password
from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.edge.rates import Pace
from dnn_surgery.edge.sources import Frame, Source, open_source
from dnn_surgery.errors import SourceError
from dnn_surgery.units import format_duration

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 15.0


@dataclass(frozen=True)
class Surroundings:
    """What a reader needs of the intake.

    `offer` takes a frame's name and pixels, and whether it is to be kept whatever happens; it answers False when there
    is no use for more. `found_rate` is told a live source's own rate, where it says one.
    """

    offer: Callable[[str, Pixels, bool], bool]
    stop: threading.Event
    clock: Callable[[], float]
    say: Callable[[str], None]
    found_rate: Callable[[float], None]


def opened(
    url: str | Path | Iterable[Pixels], stack: ExitStack, on_error: Callable[[SourceError], None] | None
) -> Source | str:
    """The finite source, opened in the stack; of a live one its URL, which is connected to by the thread that reads it.

    Raises:
        SourceError: it can be seen already that it cannot be read.
    """
    if isinstance(url, str) and is_live(url):
        check_available(url)
        return url
    return stack.enter_context(open_source(url, on_error=on_error))


def read(name: str, source: Source | str, pace: Pace, block: bool, around: Surroundings) -> None:
    """Reads until the source ends or the intake stops; a live source is connected to again and again.

    Without a rate a finite source's frames are all kept; with one they are played at it, as if they were live, and kept
    only if `block` says so.

    Raises:
        SourceError: a finite source cannot be read (on).
    """
    if isinstance(source, Source):
        _play(source, pace, block or pace.rate_hz is None, around)
    else:
        _Live(name, source, pace, block, around).run()


def _play(frames: Iterable[Frame], pace: Pace, keep: bool, around: Surroundings) -> None:
    for frame in frames:
        while not pace.is_due(around.clock()):
            if around.stop.wait(pace.wait_s(around.clock())):
                return
        due_s = around.clock()
        if not around.offer(frame.name, frame.pixels, keep):
            return
        pace.offered(around.clock() if keep else due_s)


class _Live:
    """A camera or stream, for as long as it is wanted."""

    def __init__(self, name: str, url: str, pace: Pace, block: bool, around: Surroundings) -> None:
        self._name, self._url, self._pace, self._block, self._around = name, url, pace, block, around
        self._retry_s, self._count, self._is_lost = FIRST_RETRY_S, 0, False

    def run(self) -> None:
        while not self._around.stop.is_set():
            try:
                if self._read_once():
                    return
                reason = f"{without_password(self._url)}: the stream ended"
            except SourceError as error:
                reason = str(error)
            if not self._is_lost:
                self._around.say(f"source {self._name} is lost: {reason}; trying again until it is back")
            self._is_lost = True
            self._around.stop.wait(self._retry_s)
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _read_once(self) -> bool:
        """Reads one connection to its end; whether that is the end of all."""
        around, pace = self._around, self._pace
        with open_live(self._url) as video:
            if video.ends:
                frames = (self._frame(picture.pixels()) for picture in video.pictures)
                _play(self._noting(frames), pace, self._block or pace.rate_hz is None, around)
                return True
            if video.rate_hz is not None:
                around.found_rate(video.rate_hz)
            for picture in video.pictures:
                self._note_it_works()
                now_s = around.clock()
                if around.stop.is_set():
                    return True
                if pace.is_due(now_s):
                    frame = self._frame(picture.pixels())
                    if not around.offer(frame.name, frame.pixels, self._block):
                        return True
                    pace.offered(now_s)
        return False

    def _frame(self, pixels: Pixels) -> Frame:
        frame = Frame(self._count, f"{self._name}#{self._count}", pixels)
        self._count += 1
        return frame

    def _noting(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._note_it_works()
            yield frame

    def _note_it_works(self) -> None:
        if self._is_lost:
            self._around.say(f"source {self._name} is back after retries up to {format_duration(self._retry_s)} apart")
        self._is_lost, self._retry_s = False, FIRST_RETRY_S
