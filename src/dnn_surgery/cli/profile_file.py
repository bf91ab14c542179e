"""A profile that a command is given: its threads are taken where no flag says others, and what differs is said."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.profiling.profile import Profile


def load_profile(arguments: argparse.Namespace) -> Profile | None:
    """The profile that --profile names, before the engine is built: without --threads its threads are used.

    Raises:
        ProfileError: the file cannot be read or is no profile.
    """
    from dnn_surgery.profiling.conditions import threads_of
    from dnn_surgery.profiling.profile import Profile

    if not arguments.profile:
        return None
    profile = Profile.load(arguments.profile)
    if arguments.threads is None:
        arguments.threads = threads_of(profile)
    return profile


def say_differences(profile: Profile | None, engine: Engine) -> None:
    """A notice on stderr where the profile was taken under other conditions than this run's."""
    from dnn_surgery.profiling.conditions import differences

    if profile is not None and (found := differences(profile, engine.info)):
        print(f"dnn-surgery: notice: {found}", file=sys.stderr)
