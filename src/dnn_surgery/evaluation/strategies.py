"""What one could do with a frame: keep it, upload it, or split it; each with its predicted cost on a link."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dnn_surgery import codecs
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.split import cut_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.planning import CodecCost, Link, Plan, Problem, plan

JPEG = "jpeg95"

# The networks of the paper's table I, uplink in bit/s.
PAPER_LINKS_BPS = {"CAT1": 0.13e6, "3G": 1.1e6, "4G": 5.85e6, "WiFi": 18.88e6}


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to get an answer: `name` is edge, float32, jpeg or split. `exact` says that no bit of the input is lost."""

    name: str
    cut: str
    plan: Plan
    exact: bool


@dataclass(frozen=True, slots=True)
class PictureCodec:
    """What a codec makes of the pictures at hand: mean bytes, median seconds to encode and to decode here."""

    codec: str
    size_bytes: float
    encode_s: float
    decode_s: float


def measure_codec(codec: str, pictures: Sequence[Array]) -> PictureCodec:
    """Encodes and decodes every picture [1, H, W, 3] once, after one that does not count."""
    sizes, encode_s, decode_s = [], [], []
    for picture in (pictures[0], *pictures):
        start = time.perf_counter()
        payload = codecs.encode(codec, picture)
        middle = time.perf_counter()
        codecs.decode(codec, payload, str(picture.dtype), picture.shape)
        encode_s.append(middle - start)
        decode_s.append(time.perf_counter() - middle)
        sizes.append(len(payload))
    return PictureCodec(
        codec, statistics.fmean(sizes[1:]), statistics.median(encode_s[1:]), statistics.median(decode_s[1:])
    )


def strategies(
    graph: ModelGraph, problem: Problem, link: Link, *, jpeg: PictureCodec, edge_slowdown: float
) -> tuple[Strategy, ...]:
    """Edge-only, cloud-only with the float32 input (as in the paper), cloud-only with a jpeg, and the best split.

    A split computes on both sides: at least the first layer behind the input runs at the edge, and the last in the
    cloud. Planned exactly, for latency.
    """
    everything = [layer.name for layer in graph.layers]
    picture, network_input = graph.inputs[0], _network_input(graph)
    first = [layer.name for layer in graph.layers if network_input in layer.inputs]
    split = plan(problem.with_pins(edge=first, cloud=[everything[-1]]), link)
    as_jpeg = CodecCost(jpeg.codec, jpeg.size_bytes, jpeg.encode_s * edge_slowdown, jpeg.decode_s)
    plans = {
        "edge": problem.cost(edge=everything, link=link),
        "float32": problem.cost(edge=graph.edge_layers(network_input), link=link),
        "jpeg": problem.with_codecs({picture: [as_jpeg]}).cost(edge=[picture], link=link),
        "split": split,
    }
    return tuple(Strategy(name, cut_name(graph, found.edge), found, name != "jpeg") for name, found in plans.items())


def _network_input(graph: ModelGraph) -> str:
    """The float32 tensor that the picture is normalised to."""
    (reader,) = [layer for layer in graph.layers if graph.inputs[0] in layer.inputs]
    return reader.outputs[0]
