"""Frames from a camera or a stream, with PyAV (the extra ``video``): as they come, until the connection ends."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.errors import SourceError

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 5.0

# How each system's cameras are reached: the format's name in FFmpeg, and the name of camera {}.
_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}

# RTSP over UDP loses packets where a firewall or WLAN stands between; nobuffer: no frame waits for later ones.
_OPTIONS = {"rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer"}}


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A decoded frame that has not been turned into pixels yet, which takes longer than leaving it out."""

    frame: Any

    def pixels(self) -> Pixels:
        """uint8 [H, W, 3], RGB, upright."""
        pixels: Pixels = self.frame.to_ndarray(format="rgb24")
        return (
            np.ascontiguousarray(np.rot90(pixels, round(self.frame.rotation / 90))) if self.frame.rotation else pixels
        )


@dataclass(frozen=True, slots=True)
class LiveVideo:
    """An open camera or stream. `ends`: it is a recording, whose end is its end (an MP4 over HTTP)."""

    pictures: Iterator[LivePicture]
    rate_hz: float | None
    ends: bool


def is_live(url: str) -> bool:
    """Whether the text names a camera (a number or a device) or a stream, not a file."""
    return url.isdigit() or "://" in url or url.startswith("/dev/")


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return re.sub(r"://[^/@]*@", "://", url)


def check_available(url: str) -> None:
    """Whether such a source can be read at all, here and now or ever.

    Raises:
        SourceError: PyAV is missing, or does not know the protocol.
    """
    try:
        import av  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise SourceError(
            f"{without_password(url)}: cameras and streams need PyAV: pip install 'dnn-surgery[video]'"
        ) from error


@contextmanager
def open_live(url: str) -> Iterator[LiveVideo]:
    """Connects; closes when the context ends. Nothing is waited for longer than some seconds.

    Raises:
        SourceError: nobody answers, or what answers is no video. While reading: the connection is lost.
    """
    import av

    name, format_name, shown = url, None, without_password(url)
    if url.isdigit():
        format_name, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        name = device.format(url)
        shown = f"camera {url} ({name})"
    elif url.startswith("/dev/"):
        format_name = _CAMERAS["linux"][0]
    options = _OPTIONS.get(url.partition("://")[0], {})
    try:
        container = av.open(name, format=format_name, options=options, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{shown}: {_reason(error)}") from None  # the cause shows the whole URL
    with container:
        if not container.streams.video:
            raise SourceError(f"{without_password(url)}: sends no video")
        stream = container.streams.video[0]
        rate_hz = float(stream.average_rate) if stream.average_rate else None
        # A camera and a live stream do not know how long they will be.
        ends = container.duration is not None and url.startswith(("http://", "https://"))
        yield LiveVideo(_decode(url, container, stream), rate_hz, ends)


def _decode(url: str, container: Any, stream: Any) -> Iterator[LivePicture]:
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{without_password(url)}: {_reason(error)}") from None
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue  # what was lost on the way damages frames up to the next whole one
        yield from map(LivePicture, frames)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
