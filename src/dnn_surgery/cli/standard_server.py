"""What `run --server-protocol oip` does otherwise: it talks to a server that knows nothing of this project."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnn_surgery.cli.run_options import RunOptions
    from dnn_surgery.edge.standard import StandardConnection
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.report.run_output import RunOutput


def connect_to_standard(
    engine: Engine, edge_profile: Profile | None, options: RunOptions, output: RunOutput
) -> StandardConnection:
    """Connects to the server of exported tails that the options name.

    Raises as :func:`dnn_surgery.edge.standard.connect_standard`.
    """
    from dnn_surgery.edge.standard import connect_standard
    from dnn_surgery.profiling.profile import Profile

    connection = connect_standard(
        engine,
        options.server or "",
        cut=options.cut,
        cloud_profile=None if options.cloud_profile is None else Profile.load(options.cloud_profile),
        edge_profile=edge_profile,
        link=options.link,
        objective=options.objective,
        deadline_s=options.deadline_s,
        slowdown=options.slowdown,
        credentials=options.credentials,
        report=lambda text: print(f"dnn-surgery: {text}", file=sys.stderr),
    )
    if connection.plan is not None and connection.link is not None:
        output.planned(connection.plan, connection.link)
    output.begin()
    return connection
