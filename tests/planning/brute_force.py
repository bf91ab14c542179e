"""An oracle that shares nothing with the planner: plain Python over the problem file's own words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One partition with one choice of codecs, as the problem file's numbers make it."""

    edge: frozenset[str]
    sent: tuple[tuple[str, str], ...]
    edge_s: float
    up_bytes: float
    cloud_s: float
    param_bytes: float
    down_bytes: float

    def latency_s(self, bandwidth_bps: float, rtt_s: float = 0, download_bps: float = math.inf) -> float:
        way = self.up_bytes * 8 / bandwidth_bps + (rtt_s if self.sent else 0) + self.down_bytes * 8 / download_bps
        return self.edge_s + way + self.cloud_s

    def bottleneck_s(self, bandwidth_bps: float) -> float:
        return max(self.edge_s, self.up_bytes * 8 / bandwidth_bps, self.cloud_s)


def tensors_of(layer: dict[str, Any]) -> list[dict[str, Any]]:
    if "outputs" in layer:
        return [{**tensor, "send": layer.get("send", True) and tensor.get("send", True)} for tensor in layer["outputs"]]
    return [{**layer, "bytes": layer["output_bytes"]}]


def partitions(document: dict[str, Any]) -> Iterator[frozenset[str]]:
    """All down-closed sets of layers that hold every input, in no particular order."""
    layers = document["layers"]
    maker = {tensor["name"]: layer["name"] for layer in layers for tensor in tensors_of(layer)}
    inputs = [layer["name"] for layer in layers if not layer["inputs"]]
    rest = [layer["name"] for layer in layers if layer["inputs"]]
    needs = {layer["name"]: {maker[name] for name in layer["inputs"]} for layer in layers}
    for size in range(len(rest) + 1):
        for chosen in itertools.combinations(rest, size):
            edge = frozenset(inputs).union(chosen)
            if all(needs[name] <= edge for name in chosen):
                yield edge


def rows(document: dict[str, Any]) -> Iterator[Row]:
    """All admissible partitions with all choices of codecs."""
    layers = document["layers"]
    outputs = set(document["outputs"])
    measured = {
        frozenset(row["edge"]) | {layer["name"] for layer in layers if not layer["inputs"]}: row
        for row in document.get("measured", [])
    }
    banned = {(frozenset(ban["edge"]), frozenset(ban["codecs"].items())) for ban in document.get("forbidden", [])}
    for edge in partitions(document):
        if any(layer.get("pin", "edge") != "edge" and layer["name"] in edge for layer in layers):
            continue
        if any(layer.get("pin", "cloud") != "cloud" and layer["name"] not in edge for layer in layers):
            continue
        wanted = {name for layer in layers if layer["name"] not in edge for name in layer["inputs"]}
        crossing = [t for layer in layers if layer["name"] in edge for t in tensors_of(layer) if t["name"] in wanted]
        if not all(tensor.get("send", True) for tensor in crossing):
            continue
        row = measured.get(edge)
        edge_s = row["edge_s"] if row else sum(layer["edge_s"] for layer in layers if layer["name"] in edge)
        cloud_s = row["cloud_s"] if row else sum(layer["cloud_s"] for layer in layers if layer["name"] not in edge)
        raw = [[{"name": "raw", "bytes": tensor["bytes"]}] for tensor in crossing]
        options = [tensor.get("codecs") or plain for tensor, plain in zip(crossing, raw, strict=True)]
        for choice in itertools.product(*options):
            sent = tuple((tensor["name"], way["name"]) for tensor, way in zip(crossing, choice, strict=True))
            if (edge, frozenset(sent)) in banned:
                continue
            yield Row(
                edge=edge,
                sent=sent,
                edge_s=edge_s + sum(way.get("encode_s", 0) for way in choice),
                up_bytes=sum(way["bytes"] for way in choice),
                cloud_s=cloud_s + sum(way.get("decode_s", 0) for way in choice),
                param_bytes=sum(layer.get("param_bytes", 0) for layer in layers if layer["name"] in edge),
                down_bytes=sum(
                    tensor["bytes"]
                    for layer in layers
                    if layer["name"] not in edge
                    for tensor in tensors_of(layer)
                    if tensor["name"] in outputs
                ),
            )
