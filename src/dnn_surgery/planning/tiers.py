"""k ordered tiers (device, edge server, ..., cloud) with a link between each pair of neighbours, exactly.

A layer runs on a tier no lower than those of the layers it needs. With a node (v, l) for each layer v and each link l,
on the source's side when v's tier is at most l, the least latency is one minimum cut:

    (v, 0) -> sink           seconds on tier 0          (v, l) -> (v, l-1)    seconds on tier l
    source -> (v, k-2)       seconds on tier k-1        (v, l-1) -> (v, l)    infinite: a tier is one number
    (v, l) -> readers' (., l)   the tensor's cost over link l, paid once through a node of its own where several read it
    (u, l) -> (v, l)         infinite for each layer u that reads v
    source -> r_l -> last layers' (., l)   round trip of link l     source -> (v, l)   the result's way back over link l

A tensor that passes several links is decoded and encoded anew at each, with the codec that is cheapest there; pins to
the edge mean tier 0, pins to the cloud tier k-1, and a tensor that may not leave stays on tier 0. O(n^2 m) for k n
nodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from dnn_surgery.errors import InputError
from dnn_surgery.planning.dsl import PROVED, check_rules, relative_gap
from dnn_surgery.planning.flow import Network
from dnn_surgery.planning.link import Link
from dnn_surgery.planning.plan import Sent
from dnn_surgery.planning.prices import Prices
from dnn_surgery.planning.problem import Problem
from dnn_surgery.planning.rules import closure
from dnn_surgery.planning.score import whole
from dnn_surgery.planning.structure import Bools, Floats, Ints, Structure

SCHEMA = "dnn-surgery/tier-plan/1"


@dataclass(frozen=True, slots=True)
class Hop:
    """One link: what is sent over it, and its seconds (`transfer_s` without the round trip, encoding and decoding)."""

    sent: tuple[Sent, ...]
    codec_s: float
    transfer_s: float
    rtt_s: float
    return_s: float


@dataclass(frozen=True, slots=True)
class TierPlan:
    """Layer names of each tier in topological order, seconds of each tier, the hops between them, the latency."""

    tiers: tuple[tuple[str, ...], ...]
    tier_s: tuple[float, ...]
    hops: tuple[Hop, ...]
    latency_s: float
    optimal: bool
    gap: float

    def to_json(self) -> str:
        """The plan as a JSON document."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)


def plan_tiers(problem: Problem, links: Sequence[Link]) -> TierPlan:
    """The assignment of least latency; `links` are those between neighbouring tiers, the device's first.

    Raises:
        InputError: not one link fewer than there are tiers, or partitions are measured or forbidden.
        InfeasibleError: the pins contradict each other.
    """
    structure = problem.structure
    gaps = problem.tiers - 1
    if len(links) != gaps:
        noun = "link" if gaps == 1 else "links"
        raise InputError(f"{problem.name} has {problem.tiers} tiers, so it needs {gaps} {noun}, got {len(links)}")
    if problem.measured or problem.forbidden:
        raise InputError("measured and forbidden partitions are of two tiers: a plan for tiers cannot use them")
    check_rules(structure)
    network = _TierNetwork(structure, links)
    tier, bound = network.solve()
    cost = _scored(structure, links, tier)
    gap = relative_gap(cost.latency_s, bound)
    return TierPlan(cost.tiers, cost.tier_s, cost.hops, cost.latency_s, gap <= PROVED, gap)


class _TierNetwork:
    """Arcs are collected as (tails, heads, capacities), array by array."""

    def __init__(self, structure: Structure, links: Sequence[Link]) -> None:
        self._structure, self._links = structure, links
        self._layers = len(structure.names)
        self._count = 2 + self._layers * len(links)
        self._arcs: list[tuple[Ints, Ints, Floats]] = []
        self._tiers()
        for level, link in enumerate(links):
            self._transfers(level, link)
            self._order(level, link)

    def solve(self) -> tuple[Ints, float]:
        """The tier of each layer and a proved lower bound of the latency."""
        structure = self._structure
        tails, heads, capacity = (np.concatenate(parts) for parts in zip(*self._arcs, strict=True))
        network = Network(self._count, tails, heads)
        # What the rules force with all else on the device, and with all else in the cloud.
        stay = np.where(structure.rules.cloud, len(self._links), 0)
        leave = np.where(structure.rules.edge, 0, len(self._links))
        known = [(_scored(structure, self._links, tier).latency_s, tier) for tier in (stay, leave)]
        least_s, best = min(known, key=lambda pair: pair[0])
        cut = network.minimum_cut(capacity, least_s * (1 + 1e-12))
        if np.isfinite(cut.value):
            tier = sum((~cut.side[self._nodes(level)]).astype(np.intp) for level in range(len(self._links)))
            found = np.asarray(tier, dtype=np.intp)
            if _scored(structure, self._links, found).latency_s <= least_s:
                best = found
        return best, cut.lower_bound

    def _nodes(self, level: int) -> Ints:
        return 2 + level * self._layers + np.arange(self._layers)

    def _add(self, tails: Ints, heads: Ints, capacity: Floats | float) -> None:
        tails, heads = np.broadcast_arrays(np.atleast_1d(tails), np.atleast_1d(heads))
        full = np.broadcast_to(np.asarray(capacity, dtype=np.float64), tails.shape)
        self._arcs.append((tails.astype(np.intp), heads.astype(np.intp), full))

    def _tiers(self) -> None:
        """What a layer costs on each tier, and where it is pinned."""
        structure, last = self._structure, len(self._links) - 1
        source, sink = np.intp(0), np.intp(1)
        seconds = structure.tier_s.T
        self._add(self._nodes(0), np.asarray(sink), seconds[0])
        self._add(np.asarray(source), self._nodes(last), seconds[last + 1])
        for level in range(1, last + 1):
            self._add(self._nodes(level), self._nodes(level - 1), seconds[level])
            self._add(self._nodes(level - 1), self._nodes(level), np.inf)
        self._add(np.asarray(source), self._nodes(0), np.where(structure.rules.edge, np.inf, 0.0))
        # Not `rules.cloud`: a tensor that may not leave the device may well be made on a tier in between.
        pinned = closure(
            np.flatnonzero(structure.pinned_cloud), structure.successors, np.zeros_like(structure.is_input)
        )
        self._add(self._nodes(last), np.asarray(sink), np.where(pinned, np.inf, 0.0))
        for level, link in enumerate(self._links):
            self._add(np.asarray(source), self._nodes(level), structure.down_bytes * link.down_byte_s)

    def _transfers(self, level: int, link: Link) -> None:
        """Each tensor is paid once over the link, on its way to however many readers."""
        structure, nodes = self._structure, self._nodes(level)
        _, cost = structure.ways.cheapest(*Prices.latency(link).travel)
        carriers = self._count + np.arange(len(structure.tensors))
        self._count += len(carriers)
        # On tier 0 because of the rules, or beyond it already: a tensor that may not leave crosses no first link.
        held = np.array([level == 0 and not tensor.send for tensor in structure.tensors], dtype=np.bool_)
        if len(carriers):
            self._add(nodes[structure.producer], carriers, np.where(held, np.inf, cost))
            reads = [
                (carriers[t], nodes[reader]) for t, readers in enumerate(structure.consumers) for reader in readers
            ]
            tails, heads = np.array(reads, dtype=np.intp).T
            self._add(tails, heads, np.inf)

    def _order(self, level: int, link: Link) -> None:
        """No layer runs below one that it needs; the round trip is paid when any layer runs above the link."""
        structure, nodes = self._structure, self._nodes(level)
        back = [(nodes[v], nodes[p]) for v, parents in enumerate(structure.predecessors) for p in parents]
        if back:
            tails, heads = np.array(back, dtype=np.intp).T
            self._add(tails, heads, np.inf)
        trip = self._count
        self._count += 1
        last = np.array([v for v, children in enumerate(structure.successors) if not children], dtype=np.intp)
        self._add(np.asarray(0), np.asarray(trip), link.rtt_s)
        self._add(np.asarray(trip), nodes[last], np.inf)


def _scored(structure: Structure, links: Sequence[Link], tier: Ints) -> TierPlan:
    """The costs of an assignment, recomputed from it."""
    names = np.array(structure.names, dtype=object)
    seconds = structure.tier_s[np.arange(len(tier)), tier]
    tier_s = tuple(float(seconds[tier == level].sum()) for level in range(len(links) + 1))
    hops = tuple(_hop(structure, link, tier <= level) for level, link in enumerate(links))
    latency_s = sum(tier_s) + sum(hop.codec_s + hop.transfer_s + hop.rtt_s + hop.return_s for hop in hops)
    tiers = tuple(tuple(names[tier == level]) for level in range(len(links) + 1))
    return TierPlan(tiers, tier_s, hops, latency_s, optimal=False, gap=1.0)


def _hop(structure: Structure, link: Link, below: Bools) -> Hop:
    """What the partition into `below` a link and above it costs on that link."""
    ways, _ = structure.ways.cheapest(*Prices.latency(link).travel)
    crossing = structure.crossing(below)
    codecs = [structure.ways.codecs[way] for way in ways[crossing]]
    sent = tuple(
        Sent(structure.tensors[t].name, whole(codec.size_bytes), codec.name)
        for t, codec in zip(crossing, codecs, strict=True)
    )
    return Hop(
        sent=sent,
        codec_s=sum(codec.encode_s + codec.decode_s for codec in codecs),
        transfer_s=sum(codec.size_bytes for codec in codecs) * link.up_byte_s,
        rtt_s=link.rtt_s if sent else 0.0,
        return_s=float(structure.down_bytes[~below].sum()) * link.down_byte_s,
    )
