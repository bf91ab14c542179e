"""What to plan: a problem file, a profile, two profiles, or a model profiled here first."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError, ProblemError

if TYPE_CHECKING:
    from dnn_surgery.planning import Problem
    from dnn_surgery.profiling.profile import Profile


def add_problem_arguments(parser: argparse.ArgumentParser) -> None:
    """PROBLEM or MODEL, and the profiles."""
    from dnn_surgery.cli.model_arguments import MODEL_HELP, add_model_arguments

    what = f"a problem file or a profile (.json, or - for standard input); or a model: {MODEL_HELP}"
    add_model_arguments(parser, metavar="PROBLEM|MODEL", model_help=what)
    parser.add_argument("--edge", metavar="FILE", help="the device's profile")
    parser.add_argument("--cloud", metavar="FILE", help="the server's profile")
    parser.add_argument("--edge-slowdown", type=float, metavar="FACTOR", help="multiplies the edge's seconds")


def load_problem(arguments: argparse.Namespace) -> Problem:
    """The problem that the arguments name.

    Raises:
        InputError: they name nothing, or two things.
        ProblemError: a file cannot be read or is no problem.
    """
    from dnn_surgery.planning import Problem

    slowdown = 1.0 if arguments.edge_slowdown is None else arguments.edge_slowdown
    if arguments.model is None:
        if arguments.edge is None and arguments.cloud is None:
            raise InputError("nothing to plan: give a problem file, a MODEL, or --edge A.json --cloud B.json")
        edge, cloud = _profiles(arguments.edge or arguments.cloud, arguments.cloud or arguments.edge)
        return Problem.from_profiles(edge, cloud, slowdown)
    if arguments.edge or arguments.cloud:
        raise InputError(f"give either {arguments.model} or profiles (--edge, --cloud), not both")
    if arguments.model == "-" or Path(arguments.model).suffix == ".json":
        text = read_text(arguments.model)
        if _schema(text).startswith("dnn-surgery/profile/"):
            profile = _parse_profile(text, arguments.model)
            return Problem.from_profiles(profile, profile, slowdown)
        if arguments.edge_slowdown is not None:
            raise InputError(
                "--edge-slowdown is for profiles and models: a problem file says both sides' seconds itself"
            )
        return Problem.from_json(text, where=arguments.model)
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.profile import measured

    profile = measured(build_engine(load_graph(arguments), arguments))
    return Problem.from_profiles(profile, profile, slowdown)


def _profiles(edge: str, cloud: str) -> tuple[Profile, Profile]:
    from dnn_surgery.profiling.profile import Profile

    return Profile.load(edge), Profile.load(cloud)


def _parse_profile(text: str, where: str) -> Profile:
    from dnn_surgery.profiling.profile import Profile

    return Profile.from_json(text, where=where)


def read_text(name: str) -> str:
    """A text file, or standard input for ``-``; `ProblemError` where it cannot be read."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ProblemError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProblemError(f"cannot read {name}: it is no text: {error}") from error


def _schema(text: str) -> str:
    """The schema a document says it has; what is no JSON at all is left for the problem's own reader to refuse."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("schema", "")) if isinstance(document, dict) else ""
