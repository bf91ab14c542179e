"""Which codecs are worth trying on which tensors, and what they cost here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from dnn_surgery import codecs
from dnn_surgery.calibration.cuts import candidate_cuts
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.planning import Problem
from dnn_surgery.profiling.codec_cost import CodecMeasure
from dnn_surgery.profiling.measure_codecs import applicable, measure_codecs
from dnn_surgery.profiling.profile import Profile

LOSSLESS = ("zstd", "png", "webp-lossless")
INTEGERS = ("fp16+zstd", *(f"int{bits}c+zstd" for bits in (8, 7, 6, 5, 4)))
# From coarse to fine: the guard takes the cheapest that passes.
QUALITIES = (20, 40, 60, 75, 85, 90, 95, 100)
PICTURES = (
    *(f"jpeg{quality}" for quality in QUALITIES),
    *(f"jpeg{quality}-444" for quality in QUALITIES if quality >= 75),
    *(f"webp{quality}" for quality in QUALITIES),
)

Frames = Sequence[Mapping[str, Array]]


def boundary_tensors(graph: ModelGraph, profile: Profile) -> tuple[str, ...]:
    """The tensors that cross a cut at a bottleneck vertex, or one inside a segment that leads somewhere."""
    cuts = candidate_cuts(graph, Problem.from_profiles(profile, profile))
    return tuple(dict.fromkeys(tensor for cut in cuts for tensor in graph.boundary(cut)))


def candidates(
    graph: ModelGraph, tensors: Collection[str], *, lossy: bool, names: Collection[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """The codecs to try on each tensor: those of `names` that take it, all that are any good by default.

    A learnt transform is tried on the tensor that it was learnt from alone.

    Raises:
        CodecError: a name is unknown.
    """
    tried = {}
    for tensor in tensors:
        learnt = [one.id for one in transforms() if one.parameters.tensor == tensor] if lossy else []
        plain = names if names is not None else (*LOSSLESS, *(INTEGERS + PICTURES if lossy else ()))
        found = applicable(graph, tensor, dict.fromkeys((*plain, *learnt)))
        # A picture's bytes are better as a picture than as bytes: a third of the time for two thirds of the size.
        if names is None and "png" in found:
            found = tuple(name for name in found if name != "zstd")
        tried[tensor] = tuple(name for name in found if lossy or codecs.get(name).lossless)
    return {tensor: found for tensor, found in tried.items() if found}


def transforms() -> tuple[Transform, ...]:
    """The learnt transforms that this process knows."""
    return tuple(codec for codec in codecs.registered() if isinstance(codec, Transform))


def with_measured(
    profile: Profile,
    engine: Engine,
    frames: Frames,
    ways: Mapping[str, Collection[str]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """The profile that also says what these codecs take on these frames; what it had of others stays.

    Raises:
        InputError: there are no frames.
        TensorError: a tensor is unknown, or a frame is not what the model takes.
    """
    found: dict[tuple[str, str], CodecMeasure] = {(one.tensor, one.codec): one for one in profile.codecs}
    measured = measure_codecs(engine, frames, ways, progress=progress)
    found.update({(one.tensor, one.codec): one for one in measured})
    return replace(profile, codecs=tuple(found.values()))
