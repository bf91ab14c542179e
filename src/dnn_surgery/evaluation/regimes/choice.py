"""Which regimes are run for real: of each kind the one that wins most, and one on the same device that loses most."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dnn_surgery.evaluation.regimes.search import Found, Regime, Way

# Seconds a frame, so that many frames are measured.
_MOST_S = 1.0
# Alternatives that are so many times worse than the best one are not run.
_HOPELESS = 8.0
_MOST_CAMERAS = 3
_RUN = ("edge", "upload")
# What edges, server and link may keep busy of this machine; beyond it they would measure each other.
_BUSY_SHARE = 0.8
# How much slower emulated devices are: the paper's Raspberry Pi is 12 times slower than its cloud.
_SLOWDOWNS = (4.0, 16.0)

KINDS: Mapping[str, Callable[[Regime], bool]] = {
    "throughput": lambda one: one.objective == "throughput" and not one.private and one.cameras == 1,
    "several cameras": lambda one: one.objective == "throughput" and not one.private and one.cameras > 1,
    "picture kept here, throughput": lambda one: one.objective == "throughput" and one.private and one.cameras == 1,
    "latency": lambda one: one.objective == "latency" and not one.private,
    "picture kept here, latency": lambda one: one.objective == "latency" and one.private,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A regime to run, what it is an example of, the alternatives to run there, and those that are only predicted."""

    kind: str
    found: Found
    rivals: tuple[Way, ...]
    unrun: tuple[Way, ...]


def choose(
    found: Sequence[Found], ways: Mapping[str, Sequence[Way]], *, each: int = 1, kinds: Sequence[str] = tuple(KINDS)
) -> list[Chosen]:
    """Of each of the kinds the `each` that win most, of different cases, each followed by one that loses most.

    What wins must do so by itself, alternating between staying and uploading counted as an alternative as well.
    """
    runnable = [one for one in found if can_run(one)]
    chosen: list[Chosen] = []
    for kind in kinds:
        of_kind = [one for one in runnable if KINDS[kind](one.regime)]
        for best in _of_different_cases(sorted(of_kind, key=lambda one: -one.strict_margin), each):
            chosen.append(_chosen(kind, best, ways))
            worst = _loser(best, of_kind, [one.found for one in chosen])
            if worst is not None:
                chosen.append(_chosen(kind, worst, ways))
    return chosen


def can_run(found: Found) -> bool:
    """Whether this machine can play it: no loaded server, no frame that takes very long, processors for all."""
    regime = found.regime
    if (
        regime.cloud_load != 1
        or not _SLOWDOWNS[0] <= regime.slowdown <= _SLOWDOWNS[1]
        or found.alternative.kind not in _RUN
    ):
        return False
    if max(found.split_s, found.alternative_s) > _MOST_S:
        return False
    # Of several cameras each is stopped most of the time; one alone does its work so many times over.
    edge_s, _, cloud_s = regime.stages(found.split)
    working_s = edge_s if regime.cameras == 1 else regime.cameras * edge_s / regime.slowdown
    return regime.cameras <= _MOST_CAMERAS and (working_s + cloud_s) / found.split_s <= _BUSY_SHARE * (
        os.cpu_count() or 1
    )


def _loser(best: Found, of_kind: Sequence[Found], known: Sequence[Found]) -> Found | None:
    """Where a picture may leave, one that loses to it, since that is what people would do; else to staying.

    On the same device where there is one.
    """

    def farther(one: Found) -> tuple[bool, bool, float]:
        uploads = one.alternative.kind == "upload"
        return one.regime.private == uploads, one.regime.slowdown != best.regime.slowdown, one.margin

    return min((one for one in of_kind if one.margin < 1 and one not in known), key=farther, default=None)


def _of_different_cases(found: Sequence[Found], count: int) -> list[Found]:
    first: dict[str, Found] = {}
    for one in found:
        first.setdefault(one.case, one)
    return list(first.values())[:count]


def _chosen(kind: str, found: Found, ways: Mapping[str, Sequence[Way]]) -> Chosen:
    """With every kind of alternative that is allowed there, each in its best form.

    `run` sends neither H.264 nor uncompressed floats, and what is hopeless is not run.
    """
    best: dict[str, Way] = {}
    for way in sorted(ways[found.case], key=found.regime.cost_s):
        if way.kind != "split" and found.regime.allows(way):
            best.setdefault(way.kind, way)
    most_s = _HOPELESS * found.alternative_s
    run = [way for way in best.values() if way.kind in _RUN and found.regime.cost_s(way) <= most_s]
    return Chosen(kind, found, tuple(run), tuple(way for way in best.values() if way not in run))
