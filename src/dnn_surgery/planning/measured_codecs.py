"""What profiles measured of codecs becomes ways for tensors to travel."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from dnn_surgery.errors import ProfileError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.problem import CodecCost, Problem
from dnn_surgery.profiling.codec_cost import CodecMeasure

if TYPE_CHECKING:
    from dnn_surgery.profiling.profile import Profile


def with_measured_codecs(
    problem: Problem, edge: Profile, cloud: Profile, edge_slowdown: float, *, admitted: Collection[str] | None
) -> Problem:
    """The problem with the codecs that the edge measured, beside the ways that its tensors have.

    Bytes are the mean over the edge's frames. Encoding is the edge's, times the slow-down; decoding is the cloud's. A
    cloud that did not measure a codec is taken to decode as fast as the edge without its slow-down. What raw costs (a
    tensor's way out of one engine and into the other) comes on top: codecs are measured on arrays.

    Args:
        problem: made from the same profiles.
        edge: has the measures.
        cloud: may have them.
        edge_slowdown: as the problem was made with.
        admitted: ids of codecs; None: all that lose nothing.

    Raises:
        ProfileError: the edge measured a tensor that the model has not, or one codec of a tensor twice.
    """
    decode_s = {(one.tensor, one.codec): one.decode_s for one in cloud.codecs}
    ways = {tensor.name: tensor.ways for layer in problem.layers for tensor in layer.outputs}
    added: dict[str, list[CodecCost]] = {}
    for one in edge.codecs:
        if one.tensor not in ways:
            raise ProfileError(f"codecs of the profile name no tensor: {one.tensor!r}{near(one.tensor, ways)}")
        if not _admits(admitted, one):
            continue
        known = added.setdefault(one.tensor, [])
        if any(way.name == one.codec for way in known):
            raise ProfileError(f"the profile has codec {one.codec!r} of tensor {one.tensor!r} twice")
        seconds = decode_s.get((one.tensor, one.codec), one.decode_s)
        raw = next((way for way in ways[one.tensor] if way.name == "raw"), CodecCost("raw", 0.0))
        encode_s = one.encode_s * edge_slowdown + raw.encode_s
        known.append(CodecCost(one.codec, one.mean_bytes, encode_s, seconds + raw.decode_s))
    return problem.with_codecs({name: (*_others(ways[name], new), *new) for name, new in added.items()})


def _admits(admitted: Collection[str] | None, measure: CodecMeasure) -> bool:
    return measure.lossless if admitted is None else measure.codec in admitted


def _others(ways: tuple[CodecCost, ...], new: list[CodecCost]) -> tuple[CodecCost, ...]:
    """What is measured on frames replaces what was there under the same name."""
    names = {way.name for way in new}
    return tuple(way for way in ways if way.name not in names)
