"""A real `dnn-surgery run` in a process of its own: what an experiment runs live, and all that it said.

A server in a process of its own is :class:`~dnn_surgery.evaluation.cloud_process.CloudProcess`, a link
:class:`~dnn_surgery.network.shaping.ShapedLink`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn_surgery.errors import NetworkError
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.model.graph import Picture

Record = dict[str, Any]


@dataclass(frozen=True)
class LiveRun:
    """What a run printed: a record a frame, the seconds (monotonic) at which each came, and the receipt."""

    frames: tuple[Record, ...]
    came_s: tuple[float, ...]
    receipt: Record

    def median(self, key: str, skip: int = 0) -> float:
        """The median of a number over the frames without the first `skip`."""
        return statistics.median(float(frame[key]) for frame in self.frames[skip:])


def run_edge(
    model: str,
    source: Path,
    *,
    server: str,
    options: Sequence[str] = (),
    on_frame: Callable[[Record], None] = lambda _: None,
) -> LiveRun:
    """Runs `dnn-surgery run MODEL --server ADDRESS --source PATH --json` with one thread and `options` to its end.

    Args:
        on_frame: told of each frame as soon as its line is here.

    Raises:
        NetworkError: it ended with an error, which is part of the message.
    """
    command = [sys.executable, "-m", "dnn_surgery", "run", model, "--server", server, "--source", str(source)]
    command += ["--threads", "1", "--json", *options]
    frames: list[Record] = []
    came_s: list[float] = []
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            for line in process.stdout or ():
                came_s.append(time.monotonic())
                frames.append(json.loads(line))
                on_frame(frames[-1])
            process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        log.seek(0)
        said = log.read().splitlines()
    receipt = _receipt(said)
    if process.returncode or receipt is None:
        raise NetworkError(f"the run of {model} failed: {' '.join(said[-5:])}")
    return LiveRun(tuple(frames), tuple(came_s), receipt)


def write_frames(picture: Picture, folder: Path, count: int) -> Path:
    """A folder of `count` uncompressed pictures: the labelled ones over and over, of a size that needs no scaling.

    Decoding and fitting a camera's frame is nothing that a prediction counts.

    Raises:
        SourceError: the pictures are not installed.
    """
    from PIL import Image

    pictures = labelled_pictures()
    size = round(picture.width / picture.crop_fraction), round(picture.height / picture.crop_fraction)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:06}.bmp" for index in range(count)]
    for index, path in enumerate(paths):
        path.unlink(missing_ok=True)  # of an earlier run, perhaps for another network
        if index < len(pictures):
            with Image.open(pictures[index].path) as image:
                image.convert("RGB").resize(size).save(path)
        else:
            os.link(paths[index % len(pictures)], path)
    return folder


def _receipt(lines: Sequence[str]) -> Record | None:
    """The last line that is a receipt."""
    for line in reversed(lines):
        if line.startswith("{"):
            record: Record = json.loads(line)
            if record.get("event") == "receipt":
                return record
    return None
