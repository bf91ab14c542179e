"""The receipt of a run, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dnn_surgery.units import format_duration, format_size


def receipt_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Lines of what :meth:`dnn_surgery.edge.receipt.Receipt.record` says."""
    frames = record["frames"]
    if not frames:
        yield "no frames"
        return
    yield (
        f"{frames} frames, {record['frames_per_s']:.3g} frames/s, latency {format_duration(record['latency_p50_s'])} "
        f"(median), {format_duration(record['latency_p95_s'])} (95th percentile)"
    )
    yield (
        f"{record['by_cloud']} answered by the cloud, {record['by_edge']} here: {record['local_finishes']} of them "
        f"because the cloud could not, {record['late']} after their deadline"
    )
    if record["failed"]:
        yield f"{record['failed']} failed: nobody could answer them"
    yield f"cuts: {', '.join(f'{name} {count}' for name, count in record['cuts'].items())}"
    if record["sources"]:
        skipped = record["skipped"]
        yield "sources: " + ", ".join(
            f"{name} {count}" + (f" ({skipped[name]} skipped)" if skipped.get(name) else "")
            for name, count in record["sources"].items()
        )
    yield _data(record)
    if record["first_failure"]:
        yield f"the first failure: {record['first_failure']}"


def _data(record: Mapping[str, Any]) -> str:
    text = f"{format_size(record['sent_bytes'])} sent"
    if record["jpeg_bytes"]:
        times = record["sent_bytes"] / record["jpeg_bytes"]
        text += f", {times:.3g} times the {format_size(record['jpeg_bytes'])} of JPEGs (quality 95)"
    if record["budget_left_bytes"] is not None:
        text += f"; {format_size(record['budget_left_bytes'])} of the data budget left"
    return text
