"""H.264 as a baseline: what a camera's own encoder would send, as a stream of frames.

PyAV encodes; its wheel brings x264, which is under the GPL: nothing of the project needs it or ships it.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import numpy as np

from dnn_surgery.errors import SourceError
from dnn_surgery.execution.engine import Array

# Constant rate factors, from poor to nearly lossless.
FACTORS = (*range(32, 0, -2), 1)


@dataclass(frozen=True, slots=True)
class Stream:
    """A film after a stream: its frames as they arrive, bytes a frame, mean seconds to encode and decode one."""

    frames: list[Array]
    size_bytes: float
    encode_s: float
    decode_s: float


def send(frames: list[Array], factor: int) -> Stream:
    """Encodes as a camera does, without looking ahead, and decodes. Frames are uint8 [1, height, width, 3].

    Raises:
        SourceError: PyAV is not installed, or has no encoder of H.264.
    """
    try:
        import av
    except ImportError as error:
        raise SourceError("coding H.264 needs PyAV: pip install 'dnn-surgery[video]'") from error
    if "h264" not in av.codecs_available:
        raise SourceError("this PyAV cannot encode H.264")
    buffer = io.BytesIO()
    start_s = time.perf_counter()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("h264", rate=25)
        stream.height, stream.width = frames[0].shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(factor), "preset": "veryfast", "tune": "zerolatency"}
        size_bytes = 0
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame[0], format="rgb24")):
                size_bytes += packet.size
                container.mux(packet)
        for packet in stream.encode():
            size_bytes += packet.size
            container.mux(packet)
    middle_s = time.perf_counter()
    buffer.seek(0)
    with av.open(buffer) as container:
        arrived = [np.asarray(frame.to_ndarray(format="rgb24"))[np.newaxis] for frame in container.decode(video=0)]
    end_s = time.perf_counter()
    if len(arrived) != len(frames):
        raise RuntimeError(f"{len(arrived)} of {len(frames)} frames came out of the stream")
    count = len(frames)
    return Stream(arrived, size_bytes / count, (middle_s - start_s) / count, (end_s - middle_s) / count)
