"""What `dnn-surgery profile` does with a user's frames: learns codecs from them and measures codecs on them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.profiling.profile import Profile

Result = TypeVar("Result")
Bar = Callable[[str, Callable[[Callable[[int, int], None]], Result]], Result]

_MEASURED_FRAMES = 32


def add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    """--codecs, --learn and what goes with them."""
    group = parser.add_argument_group("codecs", "bytes, encoding and decoding seconds on frames of your own")
    group.add_argument("--calibration", metavar="WHAT", help="the frames: pictures, a folder, a glob or a video file")
    group.add_argument("--calibration-frames", type=int, metavar="N", help="at most so many, spread over all")
    group.add_argument(
        "--codecs", metavar="NAMES", help="measure these, with commas (zstd,int8c+zstd,jpeg90), or all that may do"
    )
    group.add_argument("--learn", metavar="FOLDER", help="learn transform codecs first and write them as .klt files")
    group.add_argument(
        "--after", action="append", metavar="LAYER", help="of what this layer makes (default: the narrowest tensors)"
    )
    group.add_argument("--steps", metavar="NUMBERS", help="from fine to coarse, with commas (default 0.004 to 0.4)")


def check_codec_arguments(arguments: argparse.Namespace) -> None:
    """Refuses flags that do not go together.

    Raises:
        InputError: which and why.
    """
    wanted = [name for name in ("codecs", "learn") if getattr(arguments, name) is not None]
    if wanted and arguments.calibration is None:
        raise InputError(f"--{wanted[0]} needs --calibration: frames like those that will come")
    if arguments.calibration is not None and not wanted:
        raise InputError("--calibration goes with --codecs or --learn")
    if arguments.learn is None and (arguments.after or arguments.steps):
        raise InputError("--after and --steps go with --learn")


def learn_codecs(engine: Engine, arguments: argparse.Namespace, bar: Bar[None]) -> None:
    """Learns, writes and registers transforms.

    Raises:
        InputError: a layer makes nothing that can be learnt, or the frames do not do.
        CodecError: a file cannot be written.
    """
    from dnn_surgery import codecs
    from dnn_surgery.calibration.transform_learning import MOST_FRAMES, STEPS, file_name, learn, worth_learning
    from dnn_surgery.cli.calibration_arguments import read_frames
    from dnn_surgery.codecs.transform import Transform

    graph, folder = engine.graph, Path(arguments.learn)
    limit = min(arguments.calibration_frames or MOST_FRAMES, MOST_FRAMES)
    frames = read_frames(arguments.calibration, graph, limit=limit)
    tensors = worth_learning(graph)
    if arguments.after:
        tensors = tuple(dict.fromkeys(t for layer in arguments.after for t in graph.boundary(graph.edge_layers(layer))))
    steps = STEPS if arguments.steps is None else _numbers(arguments.steps)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error

    def work(progress: Callable[[int, int], None]) -> None:
        for learnt in learn(engine, frames, tensors, steps=steps, progress=progress):
            codec = Transform(learnt.parameters)
            learnt.parameters.save(folder / file_name(learnt))
            codecs.register(codec)

    bar(f"learning from {len(frames)} frames", work)
    written = f"{len(tensors) * len(steps)} codecs of {', '.join(tensors)}"
    print(f"dnn-surgery: learnt {written} from {len(frames)} frames, written to {folder}", file=sys.stderr)


def with_codecs(engine: Engine, profile: Profile, arguments: argparse.Namespace, bar: Bar[Profile]) -> Profile:
    """The profile with what the named codecs make of the tensors that may cross a cut.

    Raises:
        CodecError: a codec is unknown.
    """
    from dnn_surgery.calibration.candidates import boundary_tensors, candidates, with_measured
    from dnn_surgery.cli.calibration_arguments import read_frames

    frames = read_frames(arguments.calibration, engine.graph, limit=arguments.calibration_frames or _MEASURED_FRAMES)
    names = None if arguments.codecs in (None, "all") else [name.strip() for name in arguments.codecs.split(",")]
    ways = candidates(engine.graph, boundary_tensors(engine.graph, profile), lossy=True, names=names)
    title = f"measuring {sum(map(len, ways.values()))} codecs of {len(ways)} tensors"
    return bar(title, lambda progress: with_measured(profile, engine, frames, ways, progress=progress))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--steps needs numbers such as 0.03,0.1, got {text!r}") from None
