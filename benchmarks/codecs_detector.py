"""Codecs of a detector, on ONNX Runtime: as the benchmark `codecs`."""

from __future__ import annotations

from benchmarks.codec_cases import detector
from benchmarks.codec_report import report
from benchmarks.figure import Figure


def run() -> list[Figure]:
    """See :func:`benchmarks.codec_report.report`."""
    return report(detector())
