"""Measure what a model costs on this device, and write it to a profile file.

The process stays on as many processors as the engine has threads, the idlest ones (--no-pin: anywhere). Where the
machine had other work to do meanwhile, the file says so, and so does every plan made from it.
Plan with two of them: dnn-surgery plan --edge pi.json --cloud server.json --bandwidth 5.85Mbit/s
With --codecs the codecs of the tensors that may cross a cut are measured on frames of your own; --learn FOLDER first
learns codecs from them, to be given to `serve` and `run` with --codec.
With --verify every candidate cut is also run whole: what was predicted stands beside what was measured, and the file
(-o) holds both, so that a plan for one of these cuts is made from what it took.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dnn_surgery.cli.model_arguments import MODEL_KEYS

if TYPE_CHECKING:
    from dnn_surgery.calibration.verification import Verification
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.profiling.profile import Profile

Result = TypeVar("Result")

EXAMPLE = "dnn-surgery profile resnet18 -o pi.json"

DEFAULT_REPEATS = 15

# What is acted on here, and what is the business of `run` and `serve`.
_SUPPORTED = (*MODEL_KEYS, "server", "profiles", "sources", "plan", "link", "overload", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `profile`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments
    from dnn_surgery.cli.profile_codecs import add_codec_arguments

    add_model_arguments(parser)
    add_codec_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the profile (default: stdout)")
    parser.add_argument(
        "--repeats", type=int, default=DEFAULT_REPEATS, metavar="N", help="measured rounds (default 15)"
    )
    parser.add_argument("--verify", action="store_true", help="predicted against measured seconds of every cut")
    parser.add_argument("--no-pin", action="store_true", help="do not stay on as many processors as there are threads")
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")
    parser.add_argument("--json", action="store_true", help="no table: the profile (or the comparison) on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Measures and writes."""
    from dnn_surgery.cli.model_arguments import build_engine, fill_from_configuration, load_graph
    from dnn_surgery.cli.profile_codecs import check_codec_arguments, learn_codecs, with_codecs

    if arguments.config is not None:
        fill_from_configuration(arguments).check_supported(_SUPPORTED, "profile")
    check_codec_arguments(arguments)
    graph = load_graph(arguments)
    engine = build_engine(graph, arguments)
    if arguments.learn is not None:
        learn_codecs(engine, arguments, _with_bar)
    if arguments.verify:
        from dnn_surgery.calibration.calibrate import calibrated
        from dnn_surgery.calibration.verification import verify

        verification = _with_bar(
            f"verifying {graph.name}",
            lambda progress: verify(engine, repeats=arguments.repeats, progress=progress, pin=not arguments.no_pin),
        )
        _say_busy(verification.profile)
        if arguments.output:
            calibrated(verification.profile, verification.times).save(arguments.output)
        _show_verification(verification, as_json=arguments.json)
        return 0
    found = measured(engine, repeats=arguments.repeats, pin=not arguments.no_pin)
    if arguments.calibration is not None:
        found = with_codecs(engine, found, arguments, _with_bar)
    _show_profile(found, arguments)
    return 0


def _say_busy(measured: Profile) -> None:
    if measured.busy is not None:
        print(f"dnn-surgery: notice: this machine was busy meanwhile: {measured.busy.text}", file=sys.stderr)


def measured(engine: Engine, *, repeats: int = DEFAULT_REPEATS, pin: bool = True) -> Profile:
    """Profiles the engine's model, under a bar on stderr, and says if the machine was busy meanwhile."""
    from dnn_surgery.profiling.measure import profile

    name = engine.graph.name
    found = _with_bar(
        f"profiling {name}",
        lambda progress: profile(engine.graph, engine=engine, repeats=repeats, progress=progress, pin=pin),
    )
    _say_busy(found)
    return found


def _with_bar(title: str, work: Callable[[Callable[[int, int], None]], Result]) -> Result:
    """Runs `work`, which reports its progress, under a bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _show_profile(measured: Profile, arguments: argparse.Namespace) -> None:
    if arguments.output:
        measured.save(arguments.output)
    elif arguments.json or not sys.stdout.isatty():
        print(measured.to_json())
    if not arguments.json and (arguments.output or sys.stdout.isatty()):
        from dnn_surgery.report.profile_table import show_profile

        show_profile(measured)


def _show_verification(verification: Verification, *, as_json: bool) -> None:
    from dnn_surgery.report.verification_table import show_verification, verification_record

    if as_json:
        print(json.dumps(verification_record(verification), indent=1))
    else:
        show_verification(verification)
