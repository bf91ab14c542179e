"""Codecs of a classifier: fewest bytes at equal accuracy beside jpeg, webp and H.264, and their worth on four links.

Every way to send a frame goes through the guard: a share of answers that is proved (Wilson's bound, 95 %) over the same
frames; of each kind the smallest that passes is taken. The edge is this machine made eight times slower, the round trip
40 ms. Transforms are learnt from the first 15 frames of each film, which are not judged.
"""

from __future__ import annotations

from benchmarks.codec_cases import classifier
from benchmarks.codec_report import report
from benchmarks.figure import Figure


def run() -> list[Figure]:
    """See :func:`benchmarks.codec_report.report`."""
    return report(classifier())
