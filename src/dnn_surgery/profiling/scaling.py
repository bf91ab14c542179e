"""From raw times to times that add up: layers to their measured segment, segments to the measured whole.

A part timed alone also holds what it costs to call a part at all, which a layer inside a larger part does not. That is
taken off first; what is left then differs from the larger part only by what fusing and warm caches do, and is scaled.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Raw:
    """Seconds of each round: single layers by name, segments by their layers, the whole, and a part with no layer.

    A segment of one layer is that layer and stands in `layers` alone.
    """

    layers: Mapping[str, Sequence[float]]
    segments: Mapping[tuple[str, ...], Sequence[float]]
    whole: Sequence[float]
    call: Sequence[float]


@dataclass(frozen=True, slots=True)
class Scaled:
    """Seconds of each layer and the quartile spread of each, both scaled; `call_s` and the layers make up `whole_s`."""

    seconds: Mapping[str, float]
    spread_s: Mapping[str, float]
    whole_s: float
    call_s: float


def scale(raw: Raw) -> Scaled:
    """Medians of the rounds, made to add up."""
    whole_s = statistics.median(raw.whole)
    call_s = min(statistics.median(raw.call), whole_s)
    net = {name: max(0.0, statistics.median(times) - call_s) for name, times in raw.layers.items()}
    spread = {name: spread_of(times) for name, times in raw.layers.items()}
    for members, times in raw.segments.items():
        _stretch(members, max(0.0, statistics.median(times) - call_s), net, spread)
    _stretch(tuple(net), whole_s - call_s, net, spread)
    return Scaled(net, spread, whole_s, call_s)


def _stretch(members: Sequence[str], goal_s: float, net: dict[str, float], spread: dict[str, float]) -> None:
    """Multiplies the members' seconds so that they add up to the goal."""
    total = sum(net[name] for name in members)
    if total > 0:
        factor = goal_s / total
        for name in members:
            net[name] *= factor
            spread[name] *= factor
    else:
        # All of them cost less than a call; none is known to cost more than another.
        net.update(dict.fromkeys(members, goal_s / len(members) if members else 0.0))


def spread_of(times: Sequence[float]) -> float:
    """The distance between the quartiles; 0 for fewer than two times."""
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return high - low
