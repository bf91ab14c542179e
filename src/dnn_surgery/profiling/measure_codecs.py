"""Measures what codecs make of tensors: bytes on real frames, seconds to encode and decode on this device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import length_hint
from typing import Any

import numpy as np

from dnn_surgery import codecs
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.split import needed_inputs
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.profiling.codec_cost import CodecMeasure


def measure_codecs(
    engine: Engine,
    frames: Iterable[Mapping[str, Any]],
    ways: Mapping[str, Collection[str]],
    *,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CodecMeasure, ...]:
    """Encodes and decodes the tensors of every frame, one frame in memory at a time.

    Args:
        engine: computes the tensors.
        frames: inputs by name, arrays. The first one is coded once more beforehand, which does not count.
        ways: the codecs of each tensor.
        clock: monotonic seconds.
        progress: called with (frames done, frames in all, as far as `frames` tells) after each.

    Raises:
        InputError: there are no frames.
        TensorError: a tensor is unknown, or a frame is not what the model takes.
        CodecError: a codec is unknown or does not take its tensor.
    """
    part = engine.part(needed_inputs(engine.graph, ways), tuple(ways))
    samples = {(tensor, codec): _Samples(codec, clock) for tensor, names in ways.items() for codec in names}
    count = 0
    for count, frame in enumerate(frames, start=1):
        made = part({name: frame[name] for name in part.inputs})
        for (tensor, _), sample in samples.items():
            if count == 1:
                sample.take(made[tensor])
                sample.forget()
            sample.take(made[tensor])
        if progress:
            progress(count, max(count, length_hint(frames)))
    if count == 0:
        raise InputError("codecs are measured on frames, and there are none")
    return tuple(sample.measure(tensor) for (tensor, _), sample in samples.items())


def applicable(graph: ModelGraph, tensor: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the codecs that take the tensor.

    Raises:
        CodecError: a codec is unknown.
    """
    kind = graph.tensors[tensor]
    return tuple(name for name in names if codecs.get(name).accepts(kind.dtype, kind.shape))


class _Samples:
    """What one codec made of one tensor so far."""

    def __init__(self, codec: str, clock: Callable[[], float]) -> None:
        self.codec, self.clock = codecs.get(codec), clock
        self.forget()

    def forget(self) -> None:
        """Drops what was measured so far."""
        self.sizes: list[int] = []
        self.encode_s: list[float] = []
        self.decode_s: list[float] = []

    def take(self, array: codecs.Array) -> None:
        """Codes one tensor there and back."""
        start_s = self.clock()
        payload = self.codec.encode(array)
        middle_s = self.clock()
        self.codec.decode(payload, array.dtype.name, array.shape)
        end_s = self.clock()
        self.sizes.append(len(payload))
        self.encode_s.append(middle_s - start_s)
        self.decode_s.append(end_s - middle_s)

    def measure(self, tensor: str) -> CodecMeasure:
        """The figures."""
        return CodecMeasure(
            tensor=tensor,
            codec=self.codec.id,
            lossless=self.codec.lossless,
            frames=len(self.sizes),
            mean_bytes=statistics.fmean(self.sizes),
            p95_bytes=float(np.percentile(self.sizes, 95)),
            encode_s=statistics.median(self.encode_s),
            decode_s=statistics.median(self.decode_s),
        )
