"""Learns transform codecs for the tensors of a model, from calibration frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_surgery.calibration.calibration import Frame
from dnn_surgery.calibration.learning import learn_transform
from dnn_surgery.calibration.verdicts import frame_digest
from dnn_surgery.codecs.transform_file import TransformParameters
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import bottleneck_cuts

STEPS = (0.004, 0.03, 0.1, 0.2, 0.4)
"""From nearly exact to coarse, each about a fifth smaller than the one before: which is good enough the guard says."""

# More sharpen the tables by less than a per cent (measured with 15 to 60).
MOST_FRAMES = 60

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A transform of one tensor with one step."""

    parameters: TransformParameters
    step: float


def worth_learning(graph: ModelGraph) -> tuple[str, ...]:
    """The float tensors that alone cross a cut and are smaller than all that do so before them: no other is worth
    sending instead of an earlier one."""
    found: list[str] = []
    least_bytes = np.inf
    for cut in bottleneck_cuts(graph):
        boundary = graph.boundary(cut)
        if len(boundary) != 1:
            continue
        tensor = graph.tensors[boundary[0]]
        if tensor.dtype == "float32" and len(tensor.shape) >= 3 and tensor.size_bytes < least_bytes:
            least_bytes = tensor.size_bytes
            found.append(tensor.name)
    return tuple(found)


def learn(
    engine: Engine,
    frames: Sequence[Frame],
    tensors: Collection[str],
    *,
    steps: Sequence[float] = STEPS,
    progress: Progress | None = None,
) -> Iterator[Learnt]:
    """A transform for each tensor and step.

    How much the answer depends on each channel is known by gradients where PyTorch runs the model; elsewhere all
    channels count alike.

    Args:
        engine: runs the model on the frames.
        frames: inputs by name, arrays.
        tensors: what to learn; each has to cross a cut alone.
        steps: see :func:`learn_transform`.
        progress: called with (tensors done, tensors in all).

    Raises:
        InputError: there are no frames, or the frames make a tensor constant.
        TensorError: a tensor is unknown, or is not all that is needed behind it.
        CodecError: a tensor has no positions.
    """
    if not frames:
        raise InputError("a codec is learnt from frames, and there are none")
    digests = [frame_digest(frame) for frame in frames]
    head = engine.part(engine.graph.inputs, tuple(tensors))
    made = [head(frame) for frame in frames]
    for done, tensor in enumerate(tensors):
        if progress:
            progress(done, len(tensors))
        samples = [one[tensor] for one in made]
        sensitivity = _sensitivity(engine, tensor, samples)
        for step in steps:
            yield Learnt(
                learn_transform(samples, step=step, sensitivity=sensitivity, tensor=tensor, frames=digests), step
            )


def file_name(learnt: Learnt) -> str:
    """``blocks.5.project-0.03.klt``."""
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in learnt.parameters.tensor)
    return f"{safe}-{learnt.step:g}.klt"


def _sensitivity(engine: Engine, tensor: str, samples: Sequence[Array]) -> np.ndarray | None:
    if engine.graph.program.kind != "torch" or engine.info.name != "torch":
        return None
    from dnn_surgery.execution.sensitivity import channel_sensitivity
    from dnn_surgery.execution.torch_engine import TorchEngine

    if not isinstance(engine, TorchEngine):
        return None
    return channel_sensitivity(engine, tensor, samples[:: max(1, len(samples) // 24)])
