"""Where a split pays: every way to get an answer, every regime, and by how much the best split beats all else.

A regime is a link, a device, a server, cameras that share the uplink, and what is asked for. A way is what one could
do with a frame, with its costs on this machine; in a regime

    edge = slow-down x edge_s      link = cameras x bytes / bandwidth      cloud = load x cameras x cloud_s

Seconds a frame are the largest of the three where throughput is asked for, and where latency is, their sum and the
round trip (one camera). The margin of a regime is the best alternative's seconds over the best split's: above 1 the
split wins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dnn_surgery.evaluation.strategies import PAPER_LINKS_BPS
from dnn_surgery.planning.plan import Objective

Kind = Literal["edge", "upload", "float32", "h264", "split"]

# What the issue of a split is worth: at least so many times better than all else.
GOAL = 1.3

BANDWIDTHS_BPS = tuple(sorted({*PAPER_LINKS_BPS.values(), 0.3e6, 0.6e6, 2e6, 3.5e6, 10e6}))
RTTS_S = (0.01, 0.04, 0.15)
SLOWDOWNS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
CLOUD_LOADS = (1.0, 2.0, 4.0)
CAMERAS = (1, 2, 3, 5)


@dataclass(frozen=True, slots=True)
class Way:
    """What one could do with a frame. Seconds are this machine's; `edge_s` has encoding, `cloud_s` decoding.

    `cut` is what ``run --cut`` takes, empty where all stays at the edge; `codecs` what each tensor sent travels as.
    `proved` is the share of answers that is proved to stay (1 where no bit is lost).
    """

    kind: Kind
    cut: str
    codecs: tuple[tuple[str, str], ...]
    edge_s: float
    size_bytes: float
    cloud_s: float
    proved: float = 1.0

    @property
    def title(self) -> str:
        """``split after blocks.5.project (int8c+zstd)``."""
        coded = ", ".join(dict.fromkeys(codec for _, codec in self.codecs))
        shown = "learnt" if coded.startswith("klt-") else coded
        titles = {"edge": "edge-only", "upload": f"upload as {shown}", "float32": "upload float32", "h264": shown}
        return titles.get(self.kind, f"split after {self.cut} ({shown})")


@dataclass(frozen=True, slots=True)
class Regime:
    """`slowdown` of the emulated device, `cloud_load` of the server; `private`: the picture may not leave the device.

    With several `cameras`, each is a device of its own; they share uplink and server equally.
    """

    objective: Objective
    bandwidth_bps: float
    slowdown: float
    rtt_s: float = 0.04
    cloud_load: float = 1.0
    cameras: int = 1
    private: bool = False

    def stages(self, way: Way) -> tuple[float, float, float]:
        """Seconds a frame of each camera at the edge, on the link, in the cloud."""
        return (
            self.slowdown * way.edge_s,
            self.cameras * 8 * way.size_bytes / self.bandwidth_bps,
            self.cloud_load * self.cameras * way.cloud_s,
        )

    def cost_s(self, way: Way) -> float:
        """Seconds a frame: between two answers of a camera, or from a frame to its answer."""
        stages = self.stages(way)
        if self.objective == "throughput":
            return max(stages)
        return sum(stages) + (self.rtt_s if way.kind != "edge" else 0.0)

    def allows(self, way: Way) -> bool:
        """Whether the picture stays where it has to."""
        return not self.private or way.kind in ("edge", "split")


@dataclass(frozen=True, slots=True)
class Found:
    """The best split and the best alternative of one network in one regime.

    `mixed_s` is what a device would take that alternates between edge-only and its best upload, each as often as keeps
    all busy: no latency, infinite where there is nothing to alternate with. `run` does not do so.
    """

    case: str
    regime: Regime
    split: Way
    split_s: float
    alternative: Way
    alternative_s: float
    mixed_s: float

    @property
    def margin(self) -> float:
        """How many times better the split is than the best alternative."""
        return self.alternative_s / self.split_s

    @property
    def strict_margin(self) -> float:
        """The same, alternating counted as an alternative."""
        return min(self.alternative_s, self.mixed_s) / self.split_s


def grid() -> Iterator[Regime]:
    """All regimes that are looked at. A round trip costs no throughput, several cameras are about throughput."""
    for private, slowdown, load, bps in itertools.product((False, True), SLOWDOWNS, CLOUD_LOADS, BANDWIDTHS_BPS):
        for rtt_s in RTTS_S:
            yield Regime("latency", bps, slowdown, rtt_s=rtt_s, cloud_load=load, private=private)
        for cameras in CAMERAS:
            yield Regime("throughput", bps, slowdown, cloud_load=load, cameras=cameras, private=private)


def search(case: str, ways: Sequence[Way], regimes: Iterator[Regime] | Sequence[Regime]) -> list[Found]:
    """What each regime makes of these ways; none where there is no split at all."""
    if not any(way.kind == "split" for way in ways):
        return []
    return [look(case, ways, regime) for regime in regimes]


def look(case: str, ways: Sequence[Way], regime: Regime) -> Found:
    """The best of both in one regime."""
    allowed = [way for way in ways if regime.allows(way)]
    split = min((way for way in allowed if way.kind == "split"), key=regime.cost_s)
    alternative = min((way for way in allowed if way.kind != "split"), key=regime.cost_s)
    return Found(
        case,
        regime,
        split,
        regime.cost_s(split),
        alternative,
        regime.cost_s(alternative),
        _mixed_s(allowed, regime) if regime.objective == "throughput" else float("inf"),
    )


def _mixed_s(allowed: Sequence[Way], regime: Regime) -> float:
    """Seconds a frame where some are kept and some uploaded: with e and u the edge's seconds for each, and b uploads a
    second, as many as link, server and edge can do, (1 - b u) / e more are kept."""
    (keep,) = [way for way in allowed if way.kind == "edge"]
    kept_s = regime.slowdown * keep.edge_s
    rates = [0.0]
    for way in allowed:
        if way.kind in ("upload", "float32", "h264"):
            edge_s, link_s, cloud_s = regime.stages(way)
            uploads_hz = 1 / max(edge_s, link_s, cloud_s)
            rates.append(uploads_hz + max(0.0, 1 - uploads_hz * edge_s) / kept_s)
    return 1 / max(rates) if max(rates) > 0 else float("inf")
