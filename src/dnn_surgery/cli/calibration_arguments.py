"""The flags with which a user's own frames are given, and what they stand for."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.calibration.calibration import Calibration, Frame
    from dnn_surgery.model.graph import ModelGraph

# As many prove 0.99 with three that disagree, and 0.995 with none.
MOST_FRAMES = 1000
_MOST_BYTES = 1 << 30
# To see what lossless codecs make of a source that nobody calibrated for.
_FIRST_FRAMES = 3


def add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    """--accuracy, --calibration and --calibration-frames."""
    group = parser.add_argument_group("accuracy")
    group.add_argument(
        "--accuracy", metavar="SHARE", help="exact (default: no bit is lost), or the share of answers to prove: 0.99"
    )
    group.add_argument(
        "--calibration", metavar="WHAT", help="frames to prove it on: pictures, a folder, a glob or a video file"
    )
    group.add_argument(
        "--calibration-frames", type=int, metavar="N", help=f"at most so many, spread over all (default {MOST_FRAMES})"
    )


def calibration_of(
    arguments: argparse.Namespace, graph: ModelGraph, *, source: str | Path | None = None
) -> Calibration | None:
    """What the flags ask for; None where they ask for nothing and there is no `source` to look at instead.

    The first frames of a source are enough where no bit may be lost: then they only tell what codecs cost.

    Raises:
        InputError: an accuracy without frames, a number that makes no sense, or a model that takes no pictures.
        SourceError: the frames cannot be read.
    """
    from dnn_surgery.calibration.agreement import parse_accuracy
    from dnn_surgery.calibration.calibration import MEASURED_FRAMES, Calibration

    accuracy = None if arguments.accuracy is None else parse_accuracy(str(arguments.accuracy))
    if arguments.calibration is not None:
        most = MEASURED_FRAMES if accuracy is None else MOST_FRAMES
        frames = read_frames(arguments.calibration, graph, limit=arguments.calibration_frames or most)
    elif accuracy is not None:
        raise InputError(f"--accuracy {accuracy:g} needs --calibration: frames like those that will come")
    elif source is not None:
        frames = read_frames(source, graph, limit=_FIRST_FRAMES, spread=False)
    else:
        return None
    calibration = Calibration(frames, accuracy, report=_tell)
    if accuracy is not None and (left_out := len(frames) - len(calibration.held_out)):
        _tell(f"{left_out} of {len(frames)} calibration frames are left out: codecs were learnt from them")
    if calibration.shortage:
        _tell(f"notice: {calibration.shortage}")
    return calibration


def read_frames(what: str | Path, graph: ModelGraph, *, limit: int, spread: bool = True) -> tuple[Frame, ...]:
    """At most `limit` frames as the model takes them, spread evenly over the source where its length is known.

    Raises:
        InputError: the limit is below 1, or the model takes no pictures.
        SourceError: the frames cannot be read.
    """
    from dnn_surgery.edge.sources import fit, open_source

    picture = graph.picture
    if picture is None:
        raise InputError(f"{graph.name} takes no pictures ({', '.join(graph.inputs)}): no frames can be read for it")
    if limit < 1:
        raise InputError(f"at least 1 calibration frame is needed, got {limit}")
    limit = min(limit, max(1, _MOST_BYTES // (picture.height * picture.width * 3)))
    with open_source(what) as source:
        step = -(-source.length // limit) if spread and source.length else 1
        chosen = itertools.islice(source, 0, limit * step, step)
        return tuple({picture.tensor: fit(frame.pixels, picture)} for frame in chosen)


def _tell(text: str) -> None:
    print(f"dnn-surgery: {text}", file=sys.stderr)
