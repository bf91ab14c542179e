"""Frames into a video file, with PyAV (the extra ``video``)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.errors import InputError

_TICKS_HZ = 1000  # times are kept in milliseconds
_CODECS = ("h264", "mpeg4")  # what players and browsers show, where this PyAV can make it


class VideoWriter:
    """Writes frames, each shown at its time. The first one says how large the video is; others are scaled to it.

    Raises:
        InputError: PyAV is missing, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise InputError(f"{path}: writing a video needs PyAV: pip install 'dnn-surgery[video]'") from error
        self._av, self._path = av, path
        try:
            self._container = av.open(str(path), "w")
            path.touch()  # PyAV opens it only when the first frame comes
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{path}: cannot write a video: {getattr(error, 'strerror', None) or error}") from error
        self._stream: Any = None
        self._last_ticks = -1

    def write(self, pixels: Pixels, at_s: float) -> None:
        """Adds a frame [H, W, 3] that is shown from `at_s` on, later than the one before it."""
        height, width = (side // 2 * 2 for side in pixels.shape[:2])  # colours are kept for 2 x 2 pixels
        if self._stream is None:
            self._stream = self._add_stream(max(2, width), max(2, height))
        frame = self._av.VideoFrame.from_ndarray(pixels[:height, :width] if height and width else pixels, "rgb24")
        frame = frame.reformat(self._stream.width, self._stream.height, self._stream.pix_fmt)
        self._last_ticks = max(round(at_s * _TICKS_HZ), self._last_ticks + 1)
        frame.pts, frame.time_base = self._last_ticks, Fraction(1, _TICKS_HZ)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what is left, without which the file is no video."""
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def _add_stream(self, width: int, height: int) -> Any:
        codec = next(name for name in _CODECS if self._can_encode(name))
        stream: Any = self._container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS_HZ)
        return stream

    def _can_encode(self, name: str) -> bool:
        try:
            self._av.Codec(name, "w")
        except self._av.codec.codec.UnknownCodecError:
            return False
        return True
