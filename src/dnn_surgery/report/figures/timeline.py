"""A run over time: each frame's latency by its stages, where it was finished, and when the cut moved.

Reads what ``dnn-surgery run --json`` prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dnn_surgery.errors import InputError
from dnn_surgery.report.figures.canvas import CLOUD, EDGE, LINK, QUIET, clean, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def read_run(lines: Iterable[str], where: str) -> list[dict[str, Any]]:
    """The records of a run, one JSON object a line.

    Raises:
        InputError: a line is none, or no line is a frame's.
    """
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}:{number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{where}:{number}: expected an object, got {type(record).__name__}")
        records.append(record)
    if not any("latency_s" in record for record in records):
        raise InputError(f"{where}: no frames: give what `dnn-surgery run --json` printed")
    return records


def run_timeline(records: list[dict[str, Any]], name: str) -> Figure:
    """A stacked bar a frame, in the order of the results; lines where the cut changes, crosses at local finishes."""
    frames = [record for record in records if "latency_s" in record]
    figure, (axes,) = new_figure(min(max(7.0, 0.05 * len(frames) + 4), 18.0), 4.8)
    places = range(len(frames))
    bottom = [0.0] * len(frames)
    for label, colour, key in (("edge", EDGE, "edge_s"), ("link", LINK, "transfer_s"), ("cloud", CLOUD, "cloud_s")):
        heights = [_ms(frame, key) + (_ms(frame, "local_s") if key == "edge_s" else 0.0) for frame in frames]
        axes.bar(places, heights, bottom=bottom, width=1.0, color=colour, label=label)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    failed = [place for place, frame in enumerate(frames) if frame.get("failure")]
    if failed:
        axes.plot(
            failed, [bottom[place] for place in failed], "x", color="#b2431a", label="finished here: no answer in time"
        )
    _mark_cuts(axes, [str(frame.get("cut", "")) for frame in frames])
    axes.set(xlabel="frame", ylabel="latency, ms")
    axes.set_xlim(-0.6, len(frames) - 0.4)
    # A few frames that waited for a dead link would leave nothing to see of the others.
    common = sorted(bottom)[int(0.98 * (len(bottom) - 1))]
    axes.set_ylim(0, max(1.25 * common, 1e-3))
    clean(axes)
    axes.legend(frameon=False, ncols=4, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    axes.set_title(f"{short(name, 44)}: {len(frames)} frames", fontsize=11, pad=22)
    return figure


def _ms(record: dict[str, Any], key: str) -> float:
    value = record.get(key)
    return 1e3 * value if isinstance(value, (int, float)) else 0.0


def _mark_cuts(axes: Axes, cuts: list[str]) -> None:
    """A line where another cut begins, with its name where there is room."""
    starts = [place for place, cut in enumerate(cuts) if place == 0 or cut != cuts[place - 1]]
    room = max(1, len(cuts) // 14)
    for place, following in zip(starts, [*starts[1:], len(cuts)], strict=True):
        if place:
            axes.axvline(place - 0.5, color=QUIET, linewidth=0.8, linestyle=":")
        if following - place >= room:
            axes.annotate(
                short(cuts[place], 20),
                ((place + following - 1) / 2, 0.98),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7,
            )
