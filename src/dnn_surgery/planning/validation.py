"""What makes a problem well formed, beyond the types of its fields. Every message names the layer or tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dnn_surgery.errors import ProblemError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.problem import Forbidden, Problem, ProblemLayer, TensorCost

# Sums of a million such numbers times any load are still far from float64's end.
LARGEST = 1e18


def validate(problem: Problem) -> None:
    """Raises ProblemError for the first thing wrong in `problem`."""
    if not problem.layers:
        raise ProblemError("there are no layers")
    _check_name("the problem's name", problem.name)
    layers = _index(problem)
    tensors = {tensor.name: layer.name for layer in problem.layers for tensor in layer.outputs}
    for layer in problem.layers:
        _check_layer(layer, problem.layers[0], tensors, layers)
    if not any(not layer.inputs for layer in problem.layers):
        raise ProblemError("no layer is an input: every layer has inputs")
    if not problem.outputs:
        raise ProblemError("there are no outputs")
    for index, name in enumerate(problem.outputs):
        if name not in tensors:
            raise ProblemError(f"outputs name {_unknown(name, tensors, layers)}")
        if name in problem.outputs[:index]:
            raise ProblemError(f"outputs name {name!r} twice")
    _check_acyclic(problem, tensors)
    for index, row in enumerate(problem.measured):
        for key in ("edge_s", "cloud_s"):
            _check_number(f"measured[{index}]", key, getattr(row, key))
        _check_edge(f"measured[{index}]", row.edge, layers, tensors)
    for index, ban in enumerate(problem.forbidden):
        _check_edge(f"forbidden[{index}]", ban.edge, layers, tensors)
        _check_ban(f"forbidden[{index}]", ban, problem, tensors)
    if len({frozenset(row.edge) | _inputs(problem) for row in problem.measured}) < len(problem.measured):
        raise ProblemError("measured has two rows for the same partition")


def _inputs(problem: Problem) -> frozenset[str]:
    return frozenset(layer.name for layer in problem.layers if not layer.inputs)


def _index(problem: Problem) -> dict[str, ProblemLayer]:
    layers: dict[str, ProblemLayer] = {}
    tensors: dict[str, str] = {}
    for layer in problem.layers:
        _check_name("a layer's name", layer.name)
        if layer.name in layers:
            raise ProblemError(f"two layers are called {layer.name!r}")
        layers[layer.name] = layer
        for tensor in layer.outputs:
            _check_name(f"a tensor's name of layer {layer.name!r}", tensor.name)
            if tensor.name in tensors:
                raise ProblemError(
                    f"tensor {tensor.name!r} is made twice, by {tensors[tensor.name]!r} and {layer.name!r}"
                )
            tensors[tensor.name] = layer.name
    return layers


def _check_layer(
    layer: ProblemLayer, first: ProblemLayer, tensors: dict[str, str], layers: dict[str, ProblemLayer]
) -> None:
    place = f"layer {layer.name!r}"
    if len(layer.tier_s) != len(first.tier_s):
        raise ProblemError(f"{place} has times for {len(layer.tier_s)} tiers, {first.name!r} for {len(first.tier_s)}")
    for value in layer.middle_s:
        _check_number(place, "tier_s", value)
    for key in ("edge_s", "cloud_s", "param_bytes"):
        _check_number(place, key, getattr(layer, key))
    if not layer.outputs:
        raise ProblemError(f"{place} makes no tensor")
    for tensor in layer.outputs:
        _check_tensor(f"tensor {tensor.name!r} of {place}", tensor)
    for name in layer.inputs:
        if name not in tensors:
            raise ProblemError(f"{place} reads {_unknown(name, tensors, layers)}")
    if layer.pin not in (None, "edge", "cloud"):
        raise ProblemError(f"{place}: pin is {layer.pin!r}, expected 'edge' or 'cloud'")
    if layer.pin == "cloud" and not layer.inputs:
        raise ProblemError(f"{place} is an input, and inputs stay at the edge: it cannot be pinned to the cloud")


def _check_tensor(place: str, tensor: TensorCost) -> None:
    _check_number(place, "bytes", tensor.size_bytes)
    seen: set[str] = set()
    for codec in tensor.codecs:
        _check_name(f"a codec's name of {place}", codec.name)
        if codec.name in seen:
            raise ProblemError(f"{place} has two codecs called {codec.name!r}")
        seen.add(codec.name)
        for key, value in (("bytes", codec.size_bytes), ("encode_s", codec.encode_s), ("decode_s", codec.decode_s)):
            _check_number(f"codec {codec.name!r} of {place}", key, value)


def _check_ban(place: str, ban: Forbidden, problem: Problem, tensors: dict[str, str]) -> None:
    """A ban names a codec for exactly the tensors that its partition sends."""
    edge = _inputs(problem) | set(ban.edge)
    read = {name for layer in problem.layers if layer.name not in edge for name in layer.inputs}
    sent = {name for name in read if tensors[name] in edge}
    codecs = dict(ban.codecs)
    if wrong := sorted(sent.symmetric_difference(codecs)):
        verb = "names no codec for" if wrong[0] in sent else "names a codec for"
        what = "which this partition sends" if wrong[0] in sent else "which this partition does not send"
        raise ProblemError(f"{place} {verb} {wrong[0]!r}, {what}")


def _check_edge(place: str, names: tuple[str, ...], layers: dict[str, ProblemLayer], tensors: dict[str, str]) -> None:
    edge = {name for name, layer in layers.items() if not layer.inputs} | set(names)
    for name in names:
        if name not in layers:
            raise ProblemError(f"{place} names an unknown layer {name!r}{near(name, layers)}")
        for tensor in layers[name].inputs:
            if tensors[tensor] not in edge:
                raise ProblemError(
                    f"{place} is no partition: {name!r} needs {tensors[tensor]!r}, which it does not name"
                )


def _check_acyclic(problem: Problem, tensors: dict[str, str]) -> None:
    """Depth-first with a stack of iterators (graphs are deeper than Python's recursion limit)."""
    parents = {layer.name: [tensors[name] for name in layer.inputs] for layer in problem.layers}
    done: set[str] = set()
    for start, first in parents.items():
        if start in done:
            continue
        path: dict[str, Iterator[str]] = {start: iter(first)}
        while path:
            name = next(reversed(path))
            parent = next(path[name], None)
            if parent is None:
                done.add(name)
                del path[name]
            elif parent in path:
                names = list(path)
                cycle = [*names[names.index(parent) :], parent]
                shown = cycle if len(cycle) <= 6 else [*cycle[:3], "...", *cycle[-2:]]
                raise ProblemError(f"the layers form a cycle: {' needs '.join(shown)}")
            elif parent not in done:
                path[parent] = iter(parents[parent])


def _check_name(what: str, name: str) -> None:
    if not name:
        raise ProblemError(f"{what} is empty")
    if not name.isprintable():
        raise ProblemError(f"{what} has characters that cannot be printed: {name!a}")


def _check_number(place: str, key: str, value: float) -> None:
    # Integers may be too large for a float, so they are compared before anything else is asked of them.
    if value > LARGEST and value != math.inf:
        raise ProblemError(f"{place}: {key} is more than {LARGEST:g}")
    if not math.isfinite(max(value, -LARGEST)):
        raise ProblemError(f"{place}: {key} is {value}, expected a finite number")
    if value < 0:
        raise ProblemError(f"{place}: {key} is negative")


def _unknown(name: str, tensors: dict[str, str], layers: dict[str, ProblemLayer]) -> str:
    if name in layers:
        made = ", ".join(repr(tensor.name) for tensor in layers[name].outputs[:4])
        return f"{name!r}, which is a layer; the tensors it makes are {made}"
    return f"an unknown tensor {name!r}{near(name, tensors)}"
