"""A plan: where every layer runs, what is sent and how, and what that is predicted to cost."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Literal

SCHEMA = "dnn-surgery/plan/1"

Objective = Literal["latency", "throughput", "energy"]
Mode = Literal["light", "heavy", "congested"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A boundary tensor: made at the edge, needed in the cloud, sent once with this codec as this many bytes."""

    tensor: str
    bytes: float
    codec: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A partition, a codec for each boundary tensor, and its predicted cost; the fields are those of `plan --json`.

    `edge` and `cloud` are layer names in topological order. `edge_s` includes encoding, `cloud_s` decoding;
    `transfer_s` excludes the round trip, which is `rtt_s` (0 when nothing is sent). `latency_s` is the sum of the
    stages, the round trip and `return_s`; `bottleneck_s` the largest of `edge_s`, `transfer_s` and `cloud_s`;
    `throughput_hz` its inverse. `max_rate_hz` is the highest frame rate that a plan of this algorithm keeps up with.
    `optimal` is true only when proved; `gap` bounds how much worse than the optimum the objective is, relatively (None:
    no bound is known).
    """

    edge: tuple[str, ...]
    cloud: tuple[str, ...]
    sent: tuple[Sent, ...]
    edge_s: float
    transfer_s: float
    cloud_s: float
    return_s: float
    rtt_s: float
    latency_s: float
    bottleneck_s: float
    throughput_hz: float
    objective: Objective
    algorithm: str
    mode: Mode | None
    max_rate_hz: float
    optimal: bool
    gap: float | None

    @property
    def sent_bytes(self) -> float:
        """Bytes up for one frame."""
        return sum(tensor.bytes for tensor in self.sent)

    def to_json(self) -> str:
        """The plan as a JSON document; a rate without limit is null, since JSON has no infinity."""
        record = {"schema": SCHEMA, **asdict(self)}
        for key, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                record[key] = None
        return json.dumps(record, indent=1)
