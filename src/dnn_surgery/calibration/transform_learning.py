"""Learns transform codecs for the tensors of a model, from calibration frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from dnn_surgery.calibration.calibration import Frame
from dnn_surgery.calibration.learning import learn_transform
from dnn_surgery.calibration.metric import metric_of
from dnn_surgery.calibration.probing import MOST_FRAMES as TRIED_FRAMES
from dnn_surgery.calibration.probing import frames_of, probed_sensitivity
from dnn_surgery.calibration.verdicts import frame_digest
from dnn_surgery.codecs.transform_file import TransformParameters
from dnn_surgery.errors import InputError, TensorError
from dnn_surgery.execution.engine import Array, Engine, Part
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import bottleneck_cuts

if TYPE_CHECKING:
    from dnn_surgery.execution.torch_engine import TorchEngine

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
    weighted: bool = True,
    progress: Progress | None = None,
) -> Iterator[Learnt]:
    """A transform for each tensor and step.

    How much the answer depends on each channel is known by gradients where PyTorch runs the model, and found out by
    trying elsewhere: see :func:`dnn_surgery.calibration.probing.probed_sensitivity`.

    Args:
        engine: runs the model on the frames.
        frames: inputs by name, arrays.
        tensors: what to learn; each has to cross a cut alone, or all together, where PyTorch does not run the model.
        steps: see :func:`learn_transform`.
        weighted: by how much the answer depends on each channel; False: all count alike, which nothing waits for.
        progress: called with (done, in all), in runs of what lies behind the tensors.

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
    counter = _Counter(progress, [_runs(engine, made, tensor) for tensor in tensors])
    for tensor in tensors:
        sensitivity = _sensitivity(engine, tensor, made, counter.within) if weighted else None
        counter.next()
        samples = [one[tensor] for one in made]
        for step in steps:
            yield Learnt(
                learn_transform(samples, step=step, sensitivity=sensitivity, tensor=tensor, frames=digests), step
            )


def file_name(learnt: Learnt) -> str:
    """``blocks.5.project-0.03.klt``."""
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in learnt.parameters.tensor)
    return f"{safe}-{learnt.step:g}.klt"


class _Counter:
    """Adds up what was done for all tensors."""

    def __init__(self, progress: Progress | None, runs: Sequence[int]) -> None:
        self._progress, self._runs = progress, list(runs)
        self._total, self._before = sum(runs), 0
        self.within(0)

    def within(self, done: int, _: int = 0) -> None:
        """So many runs of the tensor at hand are done."""
        if self._progress:
            self._progress(self._before + done, self._total)

    def next(self) -> None:
        """The tensor at hand is done."""
        self._before += self._runs.pop(0)
        self.within(0)


def _by_gradients(engine: Engine) -> bool:
    return engine.graph.program.kind == "torch" and engine.info.name == "torch"


def _runs(engine: Engine, made: Sequence[Mapping[str, Array]], tensor: str) -> int:
    """How often what lies behind the tensor runs, as far as that is to be waited for."""
    if made[0][tensor].ndim < 3 or _by_gradients(engine):
        return 1
    channels = int(made[0][tensor].shape[1])
    return min(frames_of(channels), len(made)) * (channels + 1)


def _sensitivity(
    engine: Engine, tensor: str, made: Sequence[Mapping[str, Array]], progress: Progress
) -> np.ndarray | None:
    if made[0][tensor].ndim < 3:
        return None  # what cannot be learnt is said by whoever learns
    metric = metric_of(engine.graph)
    if not _by_gradients(engine):
        part = _behind(engine, tensor, tuple(made[0]))
        part.prepare()
        return probed_sensitivity(part, tensor, made, metric, progress=progress)
    from dnn_surgery.execution.sensitivity import channel_sensitivity

    def direction(output: Array, draw: np.random.Generator) -> Array:
        return metric(output).direction(draw.standard_normal(output.shape))

    samples = [one[tensor] for one in made[:: max(1, len(made) // TRIED_FRAMES)]]
    return channel_sensitivity(cast("TorchEngine", engine), tensor, samples, direction)


def _behind(engine: Engine, tensor: str, tensors: tuple[str, ...]) -> Part:
    """What makes the outputs of the tensor, or else of all tensors."""
    try:
        return engine.part((tensor,), engine.graph.outputs)
    except TensorError:
        return engine.part(tensors, engine.graph.outputs)
