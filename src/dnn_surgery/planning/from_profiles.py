"""Two profiles of one model become a problem."""

from __future__ import annotations

import math

from dnn_surgery.errors import InputError, ProfileError
from dnn_surgery.planning.problem import Problem, ProblemLayer, TensorCost
from dnn_surgery.planning.validation import LARGEST
from dnn_surgery.profiling.profile import Profile


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
    cloud_s = {layer.name: layer.seconds for layer in cloud.layers}
    if missing := [layer.name for layer in edge.layers if layer.name not in cloud_s]:
        raise ProfileError(f"the cloud's profile of {cloud.model} has no layer {missing[0]!r}")
    layers = tuple(
        ProblemLayer(
            name=layer.name,
            inputs=layer.inputs,
            outputs=tuple(TensorCost(tensor.name, tensor.bytes) for tensor in layer.outputs),
            edge_s=layer.seconds * edge_slowdown,
            cloud_s=cloud_s[layer.name],
            param_bytes=layer.param_bytes,
        )
        for layer in edge.layers
    )
    return Problem(name=edge.model, layers=layers, outputs=edge.outputs)


def _check(profile: Profile) -> None:
    """What arithmetic would trip over; the rest is checked with the problem."""
    for layer in profile.layers:
        if not (isinstance(layer.seconds, (int, float)) and 0 <= layer.seconds <= LARGEST):
            place = f"the profile of {profile.model}: seconds of layer {layer.name!r}"
            raise ProfileError(f"{place} are no number from 0 to {LARGEST:g}")
