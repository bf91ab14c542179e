"""What a partition costs: always recomputed from the partition itself, never from how it was found.

Equation (1) of the paper, T_e + T_t + T_c, with codecs, the round trip and the result's way back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_surgery.errors import InfeasibleError, ProblemError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Mode, Objective, Plan, Sent
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.structure import Bools, Floats, Structure, mask_of


@dataclass(frozen=True, slots=True)
class Columns:
    """What of a partition does not depend on the link: the columns that every objective is made of.

    `edge_s` includes encoding, `cloud_s` decoding; `sent` is 1 when anything is sent.
    """

    edge_s: float
    up_bytes: float
    cloud_s: float
    sent: float
    param_bytes: float
    down_bytes: float

    @property
    def vector(self) -> Floats:
        """The columns as an array [6]."""
        return np.array(
            [self.edge_s, self.up_bytes, self.cloud_s, self.sent, self.param_bytes, self.down_bytes], dtype=np.float64
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an algorithm says about its own plan."""

    objective: Objective
    algorithm: str
    optimal: bool = False
    gap: float | None = None
    mode: Mode | None = None
    max_rate_hz: float | None = None


def columns_of(structure: Structure, edge: Bools, ways: Sequence[int], *, sums: bool = False) -> Columns:
    """The columns of the partition `edge` [layers] that sends its boundary tensors with the codecs `ways`.

    `sums` asks for sums of layer times even where the whole partition was measured.
    """
    codecs = structure.ways
    chosen = np.asarray(ways, dtype=np.intp)
    known = None if sums else structure.measured.get(edge.tobytes())
    if known is not None:
        edge_s, cloud_s = known
    else:
        edge_s, cloud_s = float(structure.edge_s[edge].sum()), float(structure.cloud_s[~edge].sum())
    return Columns(
        edge_s=edge_s + float(codecs.encode_s[chosen].sum()),
        up_bytes=float(codecs.size_bytes[chosen].sum()),
        cloud_s=cloud_s + float(codecs.decode_s[chosen].sum()),
        sent=float(len(chosen) > 0),
        param_bytes=float(structure.param_bytes[edge].sum()),
        down_bytes=float(structure.down_bytes[~edge].sum()),
    )


def make_plan(
    structure: Structure, edge: Bools, ways: Sequence[int], *, link: Link, loads: tuple[float, float], verdict: Verdict
) -> Plan:
    """The plan of a partition and its codecs, with its costs at this link and these loads."""
    columns = columns_of(structure, edge, ways)
    codecs = structure.ways
    tensor = np.searchsorted(codecs.start, np.asarray(ways, dtype=np.intp), side="right") - 1
    sent = tuple(
        Sent(structure.tensors[t].name, whole(codecs.codecs[way].size_bytes), codecs.codecs[way].name)
        for t, way in zip(tensor, ways, strict=True)
    )
    names = np.array(structure.names, dtype=object)
    return assemble(tuple(names[edge]), tuple(names[~edge]), sent, columns, link=link, loads=loads, verdict=verdict)


def assemble(
    edge: tuple[str, ...],
    cloud: tuple[str, ...],
    sent: tuple[Sent, ...],
    columns: Columns,
    *,
    link: Link,
    loads: tuple[float, float],
    verdict: Verdict,
) -> Plan:
    """The plan of named layers and these columns."""
    edge_s, cloud_s = columns.edge_s * loads[0], columns.cloud_s * loads[1]
    transfer_s = columns.up_bytes * link.up_byte_s
    return_s = columns.down_bytes * link.down_byte_s
    rtt_s = link.rtt_s if columns.sent else 0.0
    bottleneck_s = max(edge_s, transfer_s, cloud_s)
    throughput_hz = 1.0 / bottleneck_s if bottleneck_s > 1e-300 else float("inf")
    return Plan(
        edge=edge,
        cloud=cloud,
        sent=sent,
        edge_s=edge_s,
        transfer_s=transfer_s,
        cloud_s=cloud_s,
        return_s=return_s,
        rtt_s=rtt_s,
        latency_s=edge_s + transfer_s + cloud_s + return_s + rtt_s,
        bottleneck_s=bottleneck_s,
        throughput_hz=throughput_hz,
        objective=verdict.objective,
        algorithm=verdict.algorithm,
        mode=verdict.mode,
        max_rate_hz=throughput_hz if verdict.max_rate_hz is None else verdict.max_rate_hz,
        optimal=verdict.optimal,
        gap=verdict.gap,
    )


def score_named(
    problem: Problem, *, edge: Collection[str], link: Link, codecs: Mapping[str, str], loads: tuple[float, float]
) -> Plan:
    """See :meth:`Problem.cost`."""
    structure = problem.structure
    for name in edge:
        if name not in structure.number:
            raise ProblemError(f"no layer {name!r} in {problem.name}{near(name, structure.number)}")
    mask = mask_of(tuple(edge), structure.number, structure.is_input)
    check_partition(structure, mask)
    prices = Prices.latency(link, *loads)
    cheapest, _ = structure.ways.cheapest(*prices.travel)
    crossing = structure.crossing(mask)
    names = {structure.tensors[t].name: int(t) for t in crossing}
    for tensor in codecs:
        if tensor not in names:
            raise ProblemError(f"tensor {tensor!r} is not sent by this partition{near(tensor, names)}")
    ways = [
        _way(structure, int(t), codecs[structure.tensors[t].name])
        if structure.tensors[t].name in codecs
        else int(cheapest[t])
        for t in crossing
    ]
    return make_plan(structure, mask, ways, link=link, loads=loads, verdict=Verdict("latency", "given"))


def check_partition(structure: Structure, edge: Bools) -> None:
    """Raises ProblemError unless `edge` is down-closed, InfeasibleError when it breaks a rule of the problem."""
    for index in np.flatnonzero(edge):
        for parent in structure.predecessors[index]:
            if not edge[parent]:
                raise ProblemError(
                    f"not a partition: {structure.names[index]!r} is at the edge "
                    f"but needs {structure.names[parent]!r} from the cloud"
                )
    for t in structure.crossing(edge):
        if not structure.tensors[t].send:
            raise InfeasibleError(f"this partition sends {structure.tensors[t].name!r}, which may not leave the edge")
    for forced, at, side in ((structure.rules.edge, ~edge, "edge"), (structure.rules.cloud, edge, "cloud")):
        if len(broken := np.flatnonzero(forced & at)):
            raise InfeasibleError(f"this partition breaks a pin: {structure.names[broken[0]]!r} belongs to the {side}")


def _way(structure: Structure, tensor: int, codec: str) -> int:
    start = int(structure.ways.start[tensor])
    names = [way.name for way in structure.tensors[tensor].ways]
    if codec not in names:
        name = structure.tensors[tensor].name
        raise ProblemError(f"tensor {name!r} has no codec {codec!r}, only {', '.join(names)}{near(codec, names)}")
    return start + names.index(codec)


def whole(value: float) -> float:
    """The same number, as an int where it is one: bytes print better that way."""
    return int(value) if value == int(value) else value
