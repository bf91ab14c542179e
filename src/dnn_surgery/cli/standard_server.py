"""What `run --server-protocol oip` does otherwise: it talks to a server that knows nothing of this project."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.edge.result import FrameResult
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.planning import Link
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.report.frame_lines import FrameLines


@contextmanager
def connected_to_standard(
    engine: Engine, edge_profile: Profile | None, arguments: argparse.Namespace, link: Link | None, lines: FrameLines
) -> Iterator[Callable[..., Iterator[FrameResult]]]:
    """The edge's `stream`, while it is connected to the server of exported tails that the flags name.

    Raises:
        InputError: flags that do not go together; see :func:`dnn_surgery.edge.standard.connect_standard` for the rest.
    """
    from dnn_surgery.edge.standard import connect_standard
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.units import parse_duration

    if arguments.server is None:
        raise InputError("--server-protocol oip needs --server HOST:PORT, such as Triton's port 8001")
    if arguments.algorithm != "exact":
        raise InputError("--algorithm does not go with --server-protocol oip: the best served cut is taken")
    with connect_standard(
        engine,
        arguments.server,
        cut=arguments.cut,
        cloud_profile=Profile.load(arguments.cloud_profile) if arguments.cloud_profile else None,
        edge_profile=edge_profile,
        link=link,
        objective=arguments.objective or "latency",
        deadline_s=parse_duration(arguments.deadline) if arguments.deadline else None,
        slowdown=arguments.emulate_slowdown,
        report=lambda text: print(f"dnn-surgery: {text}", file=sys.stderr),
    ) as connection:
        if connection.plan is not None and connection.link is not None:
            lines.plan(connection.plan, connection.link)
        else:
            lines.cut(connection.partition)
        yield connection.stream
