"""Requests for one tail that run as one, where the model was traced with an open batch size and it is faster.

A batch's results differ from those of single runs in their last bits, so this is for servers whose owner allows it.
Whether it is faster is measured as requests come: on a CPU it often is not.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from dnn_surgery.execution.engine import Array, Part
from dnn_surgery.model.graph import ModelGraph

# A batch must save a twentieth of the time of single runs to be worth the changed bits.
_WORTH = 0.95
_RUNS, _MAX_KEYS = 7, 128
# What does not pay is tried again after so many single runs: loads and caches change.
_TRY_AGAIN = 500


class Batching:
    """Of one model: which tails may run batches, how they do, and whether it pays."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._single: OrderedDict[Hashable, deque[float]] = OrderedDict()
        self._batched: dict[Hashable, deque[float]] = {}
        self._since: dict[Hashable, int] = {}

    def allows(self, given: Mapping[str, Array | None], wanted: Sequence[str]) -> bool:
        """Whether every tensor's first size was left open, and each request brings one frame.

        `given` are arrays as they came; None stands for an encoded tensor, which is one frame.
        """
        shapes = [self._graph.tensors[name].shape for name in (*given, *wanted)]
        open_batch = all(shape and shape[0] is None and None not in shape[1:] for shape in shapes)
        return open_batch and all(array is None or array.shape[0] == 1 for array in given.values())

    def run(self, tail: Part, inputs: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """The outputs of each of the `inputs`, computed together."""
        if len(inputs) == 1:
            return [tail(inputs[0])]
        outputs = tail({name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]})
        return [
            {name: np.ascontiguousarray(array[index : index + 1]) for name, array in outputs.items()}
            for index in range(len(inputs))
        ]

    def record(self, key: Hashable, count: int, compute_s: float) -> None:
        """Notes that `count` requests took `compute_s` together."""
        single = self._single.setdefault(key, deque(maxlen=_RUNS))
        self._single.move_to_end(key)
        if count == 1:
            single.append(compute_s)
            self._since[key] = self._since.get(key, 0) + 1
        else:
            self._batched.setdefault(key, deque(maxlen=_RUNS)).append(compute_s / count)
            self._since[key] = 0
        while len(self._single) > _MAX_KEYS:
            gone, _ = self._single.popitem(last=False)
            self._batched.pop(gone, None)
            self._since.pop(gone, None)

    def pays(self, key: Hashable) -> bool:
        """Whether a batch is worth a try, or was worth it so far."""
        single, batched = self._single.get(key), self._batched.get(key)
        if not single or len(single) < 3:
            return False
        if not batched or len(batched) < 3:
            return True
        if statistics.median(batched) <= _WORTH * statistics.median(single):
            return True
        return self._since.get(key, 0) >= _TRY_AGAIN
