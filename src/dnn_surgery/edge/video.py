"""Frames from a video file, with PyAV (the extra ``video``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.errors import SourceError


@dataclass(frozen=True, slots=True)
class Video:
    """An open video: its frames, once, and how many the file says there are (None: it does not say)."""

    frames: Iterator[Pixels]
    length: int | None


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Opens the file's first video stream; closes it when the context ends.

    Raises:
        SourceError: PyAV is not installed, or the file is no video. While reading frames: it is damaged from there on.
    """
    try:
        import av
    except ImportError as error:
        raise SourceError(f"{path}: reading a video needs PyAV: pip install 'dnn-surgery[video]'") from error
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file") from error
    except av.FFmpegError as error:
        raise SourceError(f"{path}: not a video: {error.strerror}") from error
    with container:
        if not container.streams.video:
            raise SourceError(
                f"{path}: holds no video, only {', '.join(s.type for s in container.streams) or 'nothing'}"
            )
        stream = container.streams.video[0]
        yield Video(_decode(path, container, stream, av.FFmpegError), stream.frames or None)


def _decode(path: Path, container: Any, stream: Any, damaged: type[Exception]) -> Iterator[Pixels]:
    count = 0
    try:
        for frame in container.decode(stream):
            pixels = frame.to_ndarray(format="rgb24")
            # What players do with a telephone's video: turn it counter-clockwise by what the file says.
            yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90))) if frame.rotation else pixels
            count += 1
    except damaged as error:
        raise SourceError(f"{path}: damaged after frame {count}: {error}") from error
    if count == 0:
        raise SourceError(f"{path}: holds no frames that can be decoded")
