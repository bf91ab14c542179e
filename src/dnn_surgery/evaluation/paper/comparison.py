"""Each number of the paper beside ours, the ratio, and where they differ the reason, as far as it can be computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.paper.experiments import Outcome, mode_switch, over_trace
from dnn_surgery.evaluation.paper.setups import Setup, implied_seconds, input_bytes
from dnn_surgery.planning import Link
from dnn_surgery.units import format_duration

# The figures were read off to about 3 %, and machines differ: nearer than this needs no reason.
NEAR = 1.25


@dataclass(frozen=True, slots=True)
class Comparison:
    """`published` is the paper's number, `ours` that of this set-up (None: there is none), `why` the reason."""

    setup: str
    figure: str
    network: str
    link: str
    quantity: str
    published: float
    ours: float | None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the paper's."""
        return None if self.ours is None else self.ours / self.published


def compare(setup: Setup, outcomes: Sequence[Outcome]) -> list[Comparison]:
    """All of the paper's numbers for which `outcomes` (of :func:`experiments.run_all`) hold ours."""
    found = {(one.network, one.link, one.rate_hz, one.strategy): one for one in outcomes}
    rows = [*_tables(setup), *_tiny_yolo(setup)]
    for figure, link, strategy, rate_hz, numbers in _BARS:
        for key, pair in numbers.items():
            network, where = (key, link) if link else ("resnet18", key)
            one = found[network, where, rate_hz, strategy]
            rows += _pair(setup, figure, one, pair)
    rows += _over_neurosurgeon(setup, found)
    rows += _modes(setup)
    rows += _trace(setup)
    return rows


_3G = published.FIGURE_12_TO_14_LINK
# Figure, its link (None: a bar for each link, of ResNet-18), strategy, rate, numbers.
_BARS: tuple[tuple[str, str | None, str, float, dict[str, published.Pair]], ...] = (
    ("12", _3G, "dads", published.LIGHT_HZ, published.DADS_LIGHT),
    ("12", _3G, "cloud-only", published.LIGHT_HZ, published.CLOUD_LIGHT),
    ("13", _3G, "dads", published.HEAVY_HZ, published.DADS_HEAVY),
    ("13", _3G, "cloud-only", published.HEAVY_HZ, published.CLOUD_HEAVY),
    ("14 with 12", _3G, "neurosurgeon", published.LIGHT_HZ, published.NEUROSURGEON_LIGHT),
    ("14 with 13", _3G, "neurosurgeon", published.HEAVY_HZ, published.NEUROSURGEON_HEAVY),
    ("15", None, "dads", published.LIGHT_HZ, published.RESNET_DADS_LIGHT),
    ("15", None, "cloud-only", published.LIGHT_HZ, published.RESNET_CLOUD_LIGHT),
    ("16", None, "dads", published.HEAVY_HZ, published.RESNET_DADS_HEAVY),
)


def _pair(setup: Setup, figure: str, one: Outcome, numbers: published.Pair) -> Iterator[Comparison]:
    for name, number, ours in zip(("latency", "throughput"), numbers, one.speedup, strict=True):
        what = f"{one.strategy} over edge-only, {name}"
        if not _is_near(number, ours) and number < 1 and one.strategy == "neurosurgeon":
            why = "the paper's figures have it slower than Edge-Only, which is one of its own candidates"
        else:
            why = "" if _is_near(number, ours) else _device(setup, one)
        yield Comparison(setup.name, figure, one.network, one.link, what, number, ours, why)


def _device(setup: Setup, one: Outcome) -> str:
    """How long the device takes alone decides what can be gained; the paper's Cloud-Only bars say it of its own."""
    problem = setup.problems[one.network]
    ours_s = setup.loads[one.network][0] * sum(layer.edge_s for layer in problem.layers)
    implied_s, _ = implied_seconds(one.network, input_bytes(problem))
    alone = f"the device alone takes {format_duration(ours_s)}"
    if _is_near(implied_s, ours_s):
        return f"{alone}, as the paper's bars for Cloud-Only imply; {one.strategy} chooses: {one.cut}"
    return f"{alone} here, {format_duration(implied_s)} by the paper's bars for Cloud-Only"


def _over_neurosurgeon(setup: Setup, found: dict[tuple[str, str, float, str], Outcome]) -> Iterator[Comparison]:
    for rate_hz, name, numbers in (
        (published.LIGHT_HZ, "DSL", published.DSL_OVER_NEUROSURGEON),
        (published.HEAVY_HZ, "DSH", published.DSH_OVER_NEUROSURGEON),
    ):
        for network, pair in numbers.items():
            dads, other = (found[network, _3G, rate_hz, strategy].plan for strategy in ("dads", "neurosurgeon"))
            ours = (other.latency_s / dads.latency_s, other.bottleneck_s / dads.bottleneck_s)
            for quantity, number, value in zip(("latency", "throughput"), pair, ours, strict=True):
                why = ""
                if not _is_near(number, value):
                    why = (
                        "a chain has no other cuts"
                        if published.IS_CHAIN[network]
                        else "the best prefix of the topological order is as good here: after a join one tensor crosses"
                    )
                what = f"{name} over Neurosurgeon, {quantity}"
                yield Comparison(setup.name, "14", network, _3G, what, number, value, why)


def _tables(setup: Setup) -> Iterator[Comparison]:
    for network, layers in published.LAYERS.items():
        yield Comparison(setup.name, "table II", network, "", "layers", layers, len(setup.problems[network].layers))


def _tiny_yolo(setup: Setup) -> Iterator[Comparison]:
    """Figures 1, 3 and 7."""
    problem, (edge_load, cloud_load) = setup.problems["tiny_yolov2"], setup.loads["tiny_yolov2"]
    layers = {layer.name: layer for layer in problem.layers}
    for name, kilobytes in published.TINY_YOLO_KB.items():
        ours = layers[name].outputs[0].size_bytes / 1e3
        yield Comparison(setup.name, "1", "tiny_yolov2", "", f"kB of {name}", kilobytes, ours)
    conv8 = layers["conv8"]
    for side, number, ours in zip(
        ("edge", "cloud"), published.CONV8_S, (conv8.edge_s * edge_load, conv8.cloud_s * cloud_load), strict=True
    ):
        why = "" if _is_near(number, ours) else "another machine"
        yield Comparison(setup.name, "7", "tiny_yolov2", "", f"seconds of conv8, {side}", number, ours, why)

    def latency_s(last: str, mbps: float) -> float:
        names = problem.structure.names
        edge = names[: names.index(last) + 1]
        return problem.cost(edge=edge, link=Link(mbps * 1e6), edge_load=edge_load, cloud_load=cloud_load).latency_s

    gain = 1 - latency_s("max5", 4) / latency_s("input", 4)
    what = "share that max5 saves over input"
    why = "" if _is_near(published.MAX5_GAIN_AT_4_MBPS, gain) else "another machine"
    yield Comparison(setup.name, "3", "tiny_yolov2", "4 Mbit/s", what, published.MAX5_GAIN_AT_4_MBPS, gain, why)
    seconds = latency_s("input", 18)
    what = "seconds of the cut at input"
    why = "" if _is_near(published.INPUT_AT_18_MBPS_S, seconds) else "another machine"
    yield Comparison(setup.name, "3", "tiny_yolov2", "18 Mbit/s", what, published.INPUT_AT_18_MBPS_S, seconds, why)


def _modes(setup: Setup) -> Iterator[Comparison]:
    """Figure 17. A device that keeps up alone is never in heavy mode; a cloud that does not keep up always is."""
    edge_load, cloud_load = setup.loads["resnet18"]
    here_s = sum(layer.edge_s for layer in setup.problems["resnet18"].layers)
    switch, why = mode_switch(setup, "resnet18", 1.0), ""
    if edge_load * here_s <= 1:
        switch, why = None, f"the device alone takes {format_duration(edge_load * here_s)}: it keeps up on any link"
    elif switch is None:
        alone = f"{format_duration(edge_load * here_s)} on the device and {format_duration(cloud_load * here_s)}"
        why = f"a frame takes {alone} in the cloud: no link makes it light"
    what, ours = "Mbit/s below which 1 frame/s is heavy", None if switch is None else switch / 1e6
    yield Comparison(setup.name, "17", "resnet18", "", what, published.MODE_SWITCH_MBPS, ours, why)


def _trace(setup: Setup) -> Iterator[Comparison]:
    for place, ((mbps, one), number) in enumerate(
        zip(over_trace(setup, "resnet18"), published.TRACE_SPEEDUP, strict=True)
    ):
        what = f"dads over edge-only, latency, t = {place}"
        why = "" if _is_near(number, one.speedup[0]) else _device(setup, one)
        yield Comparison(setup.name, "18", "resnet18", f"{mbps:g} Mbit/s", what, number, one.speedup[0], why)


def _is_near(number: float, ours: float) -> bool:
    return 1 / NEAR <= ours / number <= NEAR
