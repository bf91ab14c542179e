"""One sentence that names the limit that no plan keeps."""

from __future__ import annotations

from dnn_surgery.planning.goal import Limits
from dnn_surgery.planning.structure import Floats
from dnn_surgery.units import format_duration, format_size


def why_infeasible(columns: Floats, latency_s: Floats, limits: Limits) -> str:
    """Why no row keeps `limits`: the single limit that none does, or all of them together."""
    together: list[str] = []

    for column, limit, what, show in (
        (columns[4], limits.edge_param_bytes, "the memory limit for the edge's parameters", format_size),
        (columns[1], limits.frame_bytes, "the limit on the bytes of a frame", format_size),
        (latency_s, limits.deadline_s, "the deadline", format_duration),
    ):
        if limit is None:
            continue
        if not (column <= limit).any():
            return f"no partition keeps {what} of {show(limit)}: the least possible is {show(float(column.min()))}"
        together.append(f"{what} ({show(limit)})")
    return f"no partition keeps {' and '.join(together)} together, though each alone can be kept"
