"""What every strategy costs in the paper's experiments: figures 12 to 18, computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_surgery.errors import InfeasibleError
from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.paper.setups import Setup, input_layer, link_of, picture_layer
from dnn_surgery.planning import Link, Plan
from dnn_surgery.planning.algorithms import plan_for
from dnn_surgery.planning.explain import kind_of, title_of

# Ours knows nothing that the paper does not; "exact+jpeg" may also upload the picture, as a jpeg or as it is.
STRATEGIES = ("edge-only", "cloud-only", "cloud-jpeg", "neurosurgeon", "dads", "exact", "exact+jpeg")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A strategy's plan in one experiment; `speedup` over Edge-Only: latency, then throughput."""

    setup: str
    network: str
    link: str
    bandwidth_bps: float
    rate_hz: float
    strategy: str
    cut: str
    plan: Plan
    speedup: tuple[float, float]


def run_all(
    setup: Setup, networks: Iterable[str] = published.NETWORKS, links: Iterable[str] = tuple(published.UPLINK_MBPS)
) -> Iterator[Outcome]:
    """Every network on every link, light and heavy."""
    links = tuple(links)
    for network in networks:
        for name in links:
            for rate_hz in (published.LIGHT_HZ, published.HEAVY_HZ):
                yield from outcomes(setup, network, name, link_of(name), rate_hz)


def outcomes(
    setup: Setup,
    network: str,
    link_name: str,
    link: Link,
    rate_hz: float,
    *,
    strategies: Sequence[str] = STRATEGIES,
) -> Iterator[Outcome]:
    """All strategies in one experiment, Edge-Only first."""
    edge_only = _plan(setup, network, link, rate_hz, "edge-only")
    for strategy in strategies:
        found = _plan(setup, network, link, rate_hz, strategy)
        yield Outcome(
            setup=setup.name,
            network=network,
            link=link_name,
            bandwidth_bps=link.bandwidth_bps,
            rate_hz=rate_hz,
            strategy=strategy,
            cut=_title(setup, network, found),
            plan=found,
            speedup=(edge_only.latency_s / found.latency_s, edge_only.bottleneck_s / found.bottleneck_s),
        )


def mode_switch(setup: Setup, network: str, rate_hz: float) -> float | None:
    """The bandwidth, bits per second, below which DADS runs in heavy mode at this rate; None where it never is light.

    By bisection to 0.1 %: the faster the link, the lighter.
    """

    def is_light(bandwidth_bps: float) -> bool:
        goal = setup.goal(network, rate_hz)
        return plan_for(setup.problems[network], Link(bandwidth_bps), goal, "dads").mode == "light"

    low, high = 1e4, 1e9
    if not is_light(high):
        return None
    if is_light(low):
        return low
    while high / low > 1.001:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if is_light(middle) else (middle, high)
    return high


def over_trace(setup: Setup, network: str) -> list[tuple[float, Outcome]]:
    """Figure 18: DADS at each point of the paper's measured bandwidth; pairs of Mbit/s and outcome."""
    found = []
    for rate_mbps in published.TRACE_MBPS:
        experiment = outcomes(setup, network, "trace", Link(rate_mbps * 1e6), published.LIGHT_HZ)
        found.append((rate_mbps, next(one for one in experiment if one.strategy == "dads")))
    return found


def _plan(setup: Setup, network: str, link: Link, rate_hz: float, strategy: str) -> Plan:
    paper = setup.problems[network]
    goal = setup.goal(network, rate_hz)
    edge_load, cloud_load = setup.loads[network]
    if strategy == "cloud-only":
        edge = [picture_layer(paper), input_layer(paper)]
        return paper.cost(edge=edge, link=link, edge_load=edge_load, cloud_load=cloud_load)
    if strategy == "cloud-jpeg":
        ours = setup.with_jpeg[network]
        picture = picture_layer(ours)
        jpeg = ours.layers[0].outputs[0].ways[-1].name
        return ours.cost(edge=[picture], link=link, codecs={picture: jpeg}, edge_load=edge_load, cloud_load=cloud_load)
    if strategy == "exact+jpeg":
        return plan_for(setup.with_jpeg[network], link, goal, "exact")
    try:
        return plan_for(paper, link, goal, strategy)
    except InfeasibleError as error:
        raise InfeasibleError(f"{strategy} on {network}: {error}") from error


def _title(setup: Setup, network: str, plan: Plan) -> str:
    """What the plan is called; uploading the float32 input counts as an upload, though a layer has made it."""
    problem = setup.problems[network]
    return title_of(plan, kind_of(plan, {picture_layer(problem), input_layer(problem)}))
