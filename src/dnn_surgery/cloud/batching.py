"""Requests for one tail that run as one, where that is possible and faster.

Where the model was traced with an open batch size frames are joined along it. Of a model with a fixed one the engine
may be able to stack them (:meth:`Part.stack`), which is believed once a batch has given what single runs give. Results
of a batch differ from those in their last bits, so this is for servers whose owner allows it. Whether it is faster is
measured as requests come. Everything but :meth:`Batching.allows` belongs to the compute thread.
"""

from __future__ import annotations

import logging
import statistics
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dnn_surgery.execution.engine import Array, Engine, Part
from dnn_surgery.execution.tolerance import TOLERANCE, deviation

logger = logging.getLogger(__name__)

# A batch must save a twentieth of the time of single runs to be worth the changed bits.
_WORTH = 0.95
_RUNS, _ENOUGH, _MAX_KEYS = 7, 3, 128
# What does not pay is tried again after so many single runs: loads and caches change.
_TRY_AGAIN = 500

Frame = Mapping[str, Array]
Answer = dict[str, Array] | Exception


@dataclass(slots=True)
class _Known:
    """Of one tail: seconds of single runs, seconds a frame of batches, single runs since the last batch, and whether a
    stacked batch gives what single runs give (None: not known yet)."""

    single: deque[float] = field(default_factory=lambda: deque(maxlen=_RUNS))
    batched: deque[float] = field(default_factory=lambda: deque(maxlen=_RUNS))
    since: int = 0
    stacks: bool | None = None


class Batching:
    """Of one model: which tails may run batches, how they do, and whether it pays.

    Args:
        engine: whose parts the tails are.
        clock: seconds, monotonic.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def allows(self, given: Mapping[str, Array | None], wanted: Sequence[str]) -> bool:
        """Whether such requests may run together: each brings one frame.

        `given` are arrays as they came; None stands for an encoded tensor, which is one frame.
        """
        names = (*given, *wanted)
        if self._is_open(names):
            return all(array is None or array.shape[0] == 1 for array in given.values())
        return self._engine.stacks and all(None not in self._engine.graph.tensors[name].shape for name in names)

    def pays(self, key: Hashable) -> bool:
        """Whether a batch is worth a try, or was worth it so far."""
        known = self._known.get(key)
        if known is None or known.stacks is False or len(known.single) < _ENOUGH:
            return False
        if len(known.batched) < _ENOUGH:
            return True
        if statistics.median(known.batched) <= _WORTH * statistics.median(known.single):
            return True
        return known.since >= _TRY_AGAIN

    def ran_alone(self, key: Hashable, compute_s: float) -> None:
        """Notes what a request took by itself."""
        known = self._of(key)
        known.single.append(compute_s)
        known.since += 1

    def run(self, key: Hashable, tail: Part, frames: Sequence[Frame]) -> list[Answer]:
        """What each of the frames is answered with, computed together; alone where that fails."""
        known, started_s = self._of(key), self._clock()
        if len(frames) > 1 and known.stacks is None and not self._is_open((*tail.inputs, *tail.outputs)):
            return self._try(known, tail, frames)
        try:
            answers = self._together(tail, frames)
        except Exception:  # noqa: BLE001 - one frame may be the reason; what that costs counts
            answers = [_alone(tail, frame) for frame in frames]
        known.batched.append((self._clock() - started_s) / len(frames))
        known.since = 0
        return answers

    def _together(self, tail: Part, frames: Sequence[Frame]) -> list[Answer]:
        if not self._is_open((*tail.inputs, *tail.outputs)):
            return list(tail.stack(frames))
        outputs = tail({name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]})
        return [
            {name: np.ascontiguousarray(array[index : index + 1]) for name, array in outputs.items()}
            for index in range(len(frames))
        ]

    def _try(self, known: _Known, tail: Part, frames: Sequence[Frame]) -> list[Answer]:
        """The answers of single runs, to which those of a stacked batch are compared."""
        answers = [_alone(tail, frame) for frame in frames]
        good = [index for index, answer in enumerate(answers) if not isinstance(answer, Exception)]
        if len(good) < 2:
            return answers
        try:
            stacked = tail.stack([frames[index] for index in good])
            worst = max(_deviation(one, answers[index]) for one, index in zip(stacked, good, strict=True))
            known.stacks = worst <= TOLERANCE
            why = f"its answers are off by {worst:.1g} of their range"
        except Exception as error:  # noqa: BLE001 - whatever an operator says: it cannot be stacked
            known.stacks, why = False, " ".join(str(error).split())
        if not known.stacks:
            logger.info("requests for %s run one by one, a batch cannot be made: %s", " + ".join(tail.inputs), why)
        return answers

    def _is_open(self, names: Sequence[str]) -> bool:
        """Whether every tensor's first size was left open, and no other one."""
        shapes = [self._engine.graph.tensors[name].shape for name in names]
        return all(shape and shape[0] is None and None not in shape[1:] for shape in shapes)

    def _of(self, key: Hashable) -> _Known:
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        while len(self._known) > _MAX_KEYS:
            self._known.popitem(last=False)
        return known


def _alone(tail: Part, frame: Frame) -> Answer:
    try:
        return tail(frame)
    except Exception as error:  # noqa: BLE001 - the request is answered with it
        return error


def _deviation(one: Mapping[str, Array], other: Answer) -> float:
    if isinstance(other, Exception):
        raise AssertionError("compared with what failed")
    return max(deviation(one[name], other[name]) for name in other)
