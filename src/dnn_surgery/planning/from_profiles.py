"""Two profiles of one model become a problem: layers, and what it costs to call a part and to hand tensors over."""

from __future__ import annotations

import math

from dnn_surgery.errors import InputError, ProfileError
from dnn_surgery.planning.measured_cuts import with_measured_cuts
from dnn_surgery.planning.problem import CodecCost, Problem, ProblemLayer, TensorCost
from dnn_surgery.planning.validation import LARGEST
from dnn_surgery.profiling.profile import LayerCost, Profile


def from_profiles(edge: Profile, cloud: Profile, edge_slowdown: float) -> Problem:
    """See :meth:`Problem.from_profiles`."""
    if not (math.isfinite(edge_slowdown) and edge_slowdown > 0):
        raise InputError(f"the edge's slow-down must be positive and finite, got {edge_slowdown}")
    if edge.fingerprint != cloud.fingerprint:
        raise ProfileError(
            f"the profiles are of different models: the edge's of {edge.model} ({edge.fingerprint[:12]}), "
            f"the cloud's of {cloud.model} ({cloud.fingerprint[:12]})"
        )
    for profile in (edge, cloud):
        _check(profile)
    in_cloud = {layer.name: layer for layer in cloud.layers}
    if missing := [layer.name for layer in edge.layers if layer.name not in in_cloud]:
        raise ProfileError(f"the cloud's profile of {cloud.model} has no layer {missing[0]!r}")
    first = next((layer.name for layer in edge.layers if not layer.inputs), None)
    results = set(edge.outputs)
    last = next((layer.name for layer in reversed(edge.layers) if _made(layer, results)), None)
    layers = []
    for here in edge.layers:
        there = in_cloud[here.name]
        # What every head costs stands at an input, which is always at the edge; what every tail costs at the last
        # layer that makes a result, which is in the cloud wherever there is a tail (of a model that ends in one place).
        edge_s = here.seconds + _results_s(here, results) + (edge.call_s if here.name == first else 0.0)
        if not here.inputs:
            edge_s += sum(tensor.enter_s for tensor in here.outputs)
        cloud_s = there.seconds + _results_s(there, results) + (cloud.call_s if here.name == last else 0.0)
        layers.append(
            ProblemLayer(
                name=here.name,
                inputs=here.inputs,
                outputs=_tensors(here, there, edge_slowdown),
                edge_s=edge_s * edge_slowdown,
                cloud_s=cloud_s,
                param_bytes=here.param_bytes,
            )
        )
    problem = Problem(name=edge.model, layers=tuple(layers), outputs=edge.outputs, notices=_notices(edge, cloud))
    return with_measured_cuts(problem, edge=edge.measured, cloud=cloud.measured, edge_slowdown=edge_slowdown)


def _notices(edge: Profile, cloud: Profile) -> tuple[str, ...]:
    whose = (
        (("the profile", edge),) if edge is cloud else (("the edge's profile", edge), ("the cloud's profile", cloud))
    )
    return tuple(f"{name} was taken on a busy machine: {profile.busy.text}" for name, profile in whose if profile.busy)


def _tensors(edge: LayerCost, cloud: LayerCost, edge_slowdown: float) -> tuple[TensorCost, ...]:
    """Raw is a codec as well: leaving one engine is its encoding, entering the other one its decoding."""
    enter_s = {tensor.name: tensor.enter_s for tensor in cloud.outputs}
    made = []
    for tensor in edge.outputs:
        encode_s, decode_s = tensor.leave_s * edge_slowdown, enter_s.get(tensor.name, 0.0)
        ways = (CodecCost("raw", tensor.bytes, encode_s, decode_s),) if encode_s or decode_s else ()
        made.append(TensorCost(tensor.name, tensor.bytes, ways))
    return tuple(made)


def _made(layer: LayerCost, results: set[str]) -> bool:
    return any(tensor.name in results for tensor in layer.outputs)


def _results_s(layer: LayerCost, results: set[str]) -> float:
    """What it costs to hand out those tensors of the layer that are results of the model."""
    return sum(tensor.leave_s for tensor in layer.outputs if tensor.name in results)


def _check(profile: Profile) -> None:
    """What arithmetic would trip over; the rest is checked with the problem."""
    for layer in profile.layers:
        handing = [(key, getattr(tensor, key)) for tensor in layer.outputs for key in ("leave_s", "enter_s")]
        for key, seconds in (("seconds", layer.seconds), *handing):
            if not (isinstance(seconds, (int, float)) and 0 <= seconds <= LARGEST):
                place = f"the profile of {profile.model}: {key} of layer {layer.name!r}"
                raise ProfileError(f"{place} are no number from 0 to {LARGEST:g}")
