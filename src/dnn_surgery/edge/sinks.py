"""Where results go, several places at once: a file of JSON lines, a function, an annotated video.

    with Sinks([JsonLines("results.jsonl", lines.record), AnnotatedVideo(graph, "seen.mp4")], on_error=say) as sinks:
        for frame in sinks.watch(intake): ...       # takes note of each frame on its way in
        sinks.result(result)                        # in the order of the frames

A sink that fails says so once and gets nothing more; the others go on.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from dnn_surgery.edge.answer import answer
from dnn_surgery.edge.drawing import annotate
from dnn_surgery.edge.intake import TakenFrame
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.video_writer import VideoWriter
from dnn_surgery.errors import InputError
from dnn_surgery.model.graph import ModelGraph


class Sink(ABC):
    """One place. `wants_frames`: it needs the picture beside the result."""

    wants_frames = False
    name = "sink"

    @abstractmethod
    def put(self, result: FrameResult, frame: TakenFrame | None) -> None:
        """Takes a result, and the frame that it is of where that is wanted and known."""

    @abstractmethod
    def close(self) -> None:
        """No more will come."""


class JsonLines(Sink):
    """One JSON object a line, written at once; `record` makes it from a result.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, record: Callable[[FrameResult], Mapping[str, Any]]) -> None:
        self.name = str(path)
        self._record = record
        try:
            self._file: TextIO = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error

    def put(self, result: FrameResult, frame: TakenFrame | None) -> None:  # noqa: ARG002 - a sink's shape
        """See :class:`Sink`."""
        self._file.write(json.dumps(self._record(result)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See :class:`Sink`."""
        self._file.close()


class Callback(Sink):
    """Calls a function with each result, in the thread that hands out results."""

    def __init__(self, function: Callable[[FrameResult], object]) -> None:
        self.name = getattr(function, "__qualname__", repr(function))
        self._function = function

    def put(self, result: FrameResult, frame: TakenFrame | None) -> None:  # noqa: ARG002 - a sink's shape
        """See :class:`Sink`."""
        self._function(result)

    def close(self) -> None:
        """See :class:`Sink`: nothing to do."""


class AnnotatedVideo(Sink):
    """The frames with boxes and labels, as a video; of several sources one each, ``seen.gate.mp4`` beside ``seen.mp4``.

    Frames are shown at `rate_hz` a second, or, without one, as far apart as they were taken in.
    """

    wants_frames = True

    def __init__(
        self, graph: ModelGraph, path: str | Path, *, sources: Sequence[str] = (), rate_hz: float | None = None
    ) -> None:
        self.name = str(path)
        self._graph, self._path, self._rate_hz = graph, Path(path), rate_hz
        self._several = len(sources) > 1
        self._writers: dict[str, VideoWriter] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        if not self._several:  # a path that cannot be written is said before anything is computed
            self._writers[sources[0] if sources else ""] = VideoWriter(self._path)

    def put(self, result: FrameResult, frame: TakenFrame | None) -> None:
        """See :class:`Sink`."""
        if frame is None:
            return
        key = frame.source if self._several else next(iter(self._writers))
        if key not in self._writers:
            self._writers[key] = VideoWriter(self.path_of(key))
        first_s, count = self._begun.get(key, (frame.taken_s, 0))
        self._begun[key] = first_s, count + 1
        at_s = frame.taken_s - first_s if self._rate_hz is None else count / self._rate_hz
        self._writers[key].write(annotate(frame.pixels, answer(self._graph, result)), at_s)

    def path_of(self, source: str) -> Path:
        """The file of one source among several."""
        return self._path.with_name(f"{self._path.stem}.{re.sub(r'[^A-Za-z0-9_-]+', '_', source)}{self._path.suffix}")

    def close(self) -> None:
        """See :class:`Sink`."""
        for writer in self._writers.values():
            writer.close()


class Sinks:
    """Hands each result to all sinks; a context manager that closes them.

    Args:
        sinks: the places. on_error: told, once a sink, that it failed.
    """

    def __init__(self, sinks: Iterable[Sink], *, on_error: Callable[[str], None]) -> None:
        self._sinks, self._on_error = list(sinks), on_error
        self._frames: dict[int, TakenFrame] = {}

    def __enter__(self) -> Sinks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as failure:  # noqa: BLE001 - whatever it is, the others are closed too
                self._on_error(f"{sink.name}: {failure}")
        self._sinks.clear()

    def watch(self, frames: Iterable[TakenFrame]) -> Iterator[TakenFrame]:
        """The same frames; those that a sink wants to see are kept until their result is here."""
        for frame in frames:
            if any(sink.wants_frames for sink in self._sinks):
                self._frames[frame.index] = frame
            yield frame

    def result(self, result: FrameResult) -> None:
        """A frame has its answer."""
        frame = self._frames.pop(result.index, None)
        for sink in tuple(self._sinks):
            try:
                sink.put(result, frame)
            except Exception as failure:  # noqa: BLE001 - a function of the user may raise anything
                self._sinks.remove(sink)
                self._on_error(f"{sink.name}: {failure}; it gets no more results")
                with suppress(Exception):
                    sink.close()
