"""Mean latency and regret over recorded links: the device's own controller, baselines, a clairvoyant, your policies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.cli.problem_arguments import read_text
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from dnn_surgery.evaluation.video_uploads import VideoUpload
    from dnn_surgery.planning import Problem

# Of the networks that ship, the one whose answers mean something.
WITH_WEIGHTS = "efficientnet_lite0"

EXAMPLE = "dnn-surgery evaluate traces --trace my.csv --algorithm my_module:plan -o build/traces"

WIDTH = 120
TRACE_FOLDERS = ("traces", "shared/traces", "../shared/traces")
TRACE_SUFFIXES = (".up", ".down", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate traces`."""
    parser.add_argument(
        "--trace",
        action="append",
        metavar="FILE",
        help="a Mahimahi trace, a .csv of seconds and Mbit/s, or a folder of them; may be repeated "
        f"(default: the first folder there is of {', '.join(TRACE_FOLDERS)})",
    )
    parser.add_argument(
        "--problem",
        action="append",
        metavar="FILE",
        help="a problem file; may be repeated (default: three networks measured once, the edge 8 times slower)",
    )
    parser.add_argument(
        "--algorithm",
        metavar="NAMES",
        default="",
        help="more policies, separated by commas: planners by name (dads, dsl, ...), your own module:function, or an "
        "online controller module:Class",
    )
    parser.add_argument("--private", action="store_true", help="the model's input may not leave the device")
    parser.add_argument("--rtt", default="40ms", metavar="TIME", help="round trip (default 40ms)")
    parser.add_argument("--rate", type=float, metavar="HZ", help="frames a second (default: no two overlap)")
    parser.add_argument(
        "--deadline", metavar="TIME", help="after which the edge finishes (default: what it takes alone)"
    )
    parser.add_argument(
        "--starts", type=int, default=8, metavar="N", help="places in the trace to start from (default 8)"
    )
    parser.add_argument("--no-tuned", action="store_true", help="leave out the grid of policies tuned in hindsight")
    video = parser.add_argument_group("against what a camera sends")
    video_help = "frames are this video's: adds uploads as a jpeg and as H.264, as small as --accuracy allows"
    video.add_argument("--video", metavar="FILE", help=video_help)
    video.add_argument("--accuracy", default="0.95", metavar="SHARE", help="of answers, proved on them (default 0.95)")
    video.add_argument(
        "--model",
        metavar="MODEL",
        help="whose answers (default: the problem's name; without --problem efficientnet_lite0 alone is run, since the "
        "weights of the others are random)",
    )
    slow_help = "how much slower than here the device codes (default 8, as in the networks that ship)"
    video.add_argument("--edge-slowdown", type=float, default=8.0, metavar="K", help=slow_help)
    parser.add_argument("-o", "--output", metavar="DIR", help="writes traces.csv there")


def run(arguments: argparse.Namespace) -> int:
    """Runs the experiment, prints tables, writes the file."""
    from rich.console import Console

    from dnn_surgery.evaluation.contenders import ORACLE, contenders, outside, tuned
    from dnn_surgery.evaluation.regret import Experiment, play_all
    from dnn_surgery.evaluation.video_uploads import play_upload
    from dnn_surgery.network.traces import read_trace
    from dnn_surgery.report.regret_table import show_regret, tidy_rows, write_tidy
    from dnn_surgery.units import parse_duration

    if arguments.starts < 1:
        raise InputError(f"--starts must be at least 1, got {arguments.starts}")
    accuracy = _video_accuracy(arguments)
    extra = {name: outside(name) for name in arguments.algorithm.split(",") if name}
    traces = [(path.stem, read_trace(path)) for path in trace_files(arguments.trace)]
    # A pipe has no width; tables that nobody can widen later should not be cut to a terminal's 80 columns.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    progress, rows = Console(stderr=True), []
    for problem in problems(arguments.problem, private=arguments.private):
        if arguments.video is not None and arguments.problem is None and problem.name != WITH_WEIGHTS:
            continue
        uploads = () if accuracy is None else _uploads(problem.name, arguments, accuracy, progress)
        for name, trace in traces:
            experiment = Experiment.over(
                problem,
                trace,
                name,
                rtt_s=parse_duration(arguments.rtt),
                rate_hz=arguments.rate,
                deadline_s=None if arguments.deadline is None else parse_duration(arguments.deadline),
                starts=arguments.starts,
            )
            with progress.status(f"{problem.name} on {name}") as status:
                played = play_all(experiment, {**contenders(experiment), **extra}, status.update)
                if not arguments.no_tuned:
                    status.update(f"{problem.name} on {name}: tuning in hindsight")
                    played["tuned"] = tuned(experiment)[0]
                for upload in uploads:
                    if upload.is_proved:
                        played[f"cloud-{upload.kind}"] = play_upload(experiment, upload)
            show_regret(experiment, played, ORACLE, console)
            for upload in uploads:
                console.print(f"cloud-{upload.kind}: {upload.text}")
            rows += list(tidy_rows(experiment, played, ORACLE))
    if arguments.output is not None:
        path = Path(arguments.output) / "traces.csv"
        write_tidy(path, rows)
        console.print(f"written to {path}")
    return 0


def _video_accuracy(arguments: argparse.Namespace) -> float | None:
    """What a jpeg and a stream have to keep; None without a video."""
    from dnn_surgery.calibration.agreement import parse_accuracy

    if arguments.video is None:
        return None
    if arguments.private:
        raise InputError("--private keeps the picture here, so it does not go with --video")
    accuracy = parse_accuracy(arguments.accuracy)
    if accuracy is None:
        raise InputError("--accuracy exact: neither a jpeg nor H.264 is; give a share such as 0.95")
    return accuracy


def _uploads(name: str, arguments: argparse.Namespace, accuracy: float, progress: Console) -> Sequence[VideoUpload]:
    """What a frame of the video takes as a jpeg and in a stream."""
    from dnn_surgery.evaluation.video_uploads import video_uploads
    from dnn_surgery.model.reference import load_model

    with progress.status(f"{name}: the video") as status:
        graph = load_model(arguments.model or name)
        return video_uploads(graph, arguments.video, accuracy, arguments.edge_slowdown, status.update)


def trace_files(given: list[str] | None) -> list[Path]:
    """Files, and those in folders, in order of name."""
    found: list[Path] = []
    for name in given or [folder for folder in TRACE_FOLDERS if Path(folder).is_dir()][:1]:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix in TRACE_SUFFIXES)
            if not inside:
                raise InputError(f"no trace ({', '.join(TRACE_SUFFIXES)}) in the folder {path}")
            found += inside
        else:
            found.append(path)
    if not found:
        raise InputError(f"no traces: none of {', '.join(TRACE_FOLDERS)} is here; give --trace FILE")
    return found


def problems(given: list[str] | None, *, private: bool) -> Iterator[Problem]:
    """Those of these files, or the networks that come with the package."""
    from dnn_surgery.evaluation.contenders import keep_inputs
    from dnn_surgery.planning import Problem

    if given is None:
        folder = resources.files("dnn_surgery.evaluation") / "problems"
        texts = [
            (item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir() if item.name[-5:] == ".json"
        ]
    else:
        texts = [(name, read_text(name)) for name in given]
    for name, text in sorted(texts):
        problem = Problem.from_json(text, where=name)
        yield keep_inputs(problem) if private else problem
