"""Real streams for tests: an RTSP server and an MPEG-TS sender, each in a process that can be killed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RTSP = """
import asyncio, sys
from aio_rtsp_toolkit.server import serve
asyncio.run(serve(sys.argv[1], "127.0.0.1", int(sys.argv[2])))
"""

MPEG_TS = """
import itertools, sys, time
import av
from fractions import Fraction
import numpy as np
with av.open(f"tcp://127.0.0.1:{sys.argv[1]}?listen=1", "w", format="mpegts") as container:
    stream = container.add_stream("mpeg2video", rate=25)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 5
    for number in itertools.count():
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 250, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        for packet in stream.encode(frame):
            container.mux(packet)
        time.sleep(0.04)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the code in a Python process and kills it in the end, if that has not happened yet."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def write_video(path: Path, frames: int = 100, rate_hz: int = 25) -> Path:
    """A small H.264 video whose frames become brighter by 2 each."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 10
        for number in range(frames):
            pixels = np.full((120, 160, 3), number * 2 % 250, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
