"""What of a model's outputs is its answer, and when two answers are the same.

classify  the class of the highest score, of every output
detect    as many boxes, each matched one to one with a box of its class: intersection over union at least 0.5,
          confidences at most 0.1 apart
otherwise every output within 5 % of its own norm: |y - y'| <= 0.05 |y|
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dnn_surgery.execution.engine import Array
from dnn_surgery.model.boxes import Boxes, boxes_of, overlaps
from dnn_surgery.model.graph import ModelGraph

Outputs = Mapping[str, Array]

LEAST_IOU = 0.5
MOST_CONFIDENCE_APART = 0.1
MOST_DEVIATION = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """`of` takes a frame's outputs to its answer, `same` compares two; `rule` says in words what the same is."""

    rule: str
    of: Callable[[Outputs], Any]
    same: Callable[[Any, Any], bool]


def answer_of(graph: ModelGraph) -> Answer:
    """What the graph's outputs mean: what its postprocess says, else classes where its outputs are rows of scores.

    A detector whose outputs hold no boxes after all is compared by its outputs.
    """
    task = graph.postprocess
    if task is not None and task.task == "detect":
        return Answer(f"the same boxes (IoU {LEAST_IOU:g})", partial(boxes_of, postprocess=task), same_boxes)
    shapes = [graph.tensors[name].shape for name in graph.outputs]
    if task is None and all(len(shape) == 2 for shape in shapes):
        return TOP1
    return TOP1 if task is not None and task.task == "classify" else DEVIATION


def top1(outputs: Outputs) -> tuple[tuple[int, ...], ...]:
    """The classes with the highest scores: of each output `[N, ..., classes]`, in the order of their names."""
    return tuple(tuple(np.argmax(outputs[name], axis=-1).reshape(-1).tolist()) for name in sorted(outputs))


def same_boxes(expected: Boxes, found: Boxes) -> bool:
    """Whether each box has its match; the surest choose first, each the box that overlaps it most."""
    if len(expected.confidence) != len(found.confidence):
        return False
    free = np.ones(len(found.confidence), dtype=np.bool_)
    for corners, confidence, index in zip(expected.corners, expected.confidence, expected.classes, strict=True):
        alike = overlaps(corners, found.corners)
        alike[~free | (found.classes != index) | (np.abs(found.confidence - confidence) > MOST_CONFIDENCE_APART)] = -1
        match = int(alike.argmax())
        if alike[match] < LEAST_IOU:
            return False
        free[match] = False
    return True


def deviation(expected: Outputs, found: Outputs) -> float:
    """The largest of the outputs' distances from what they should be, in shares of their norms."""
    shares = []
    for name, right in expected.items():
        norm = float(np.linalg.norm(right.astype(np.float64).reshape(-1)))
        apart = float(np.linalg.norm((found[name].astype(np.float64) - right.astype(np.float64)).reshape(-1)))
        # Of an output that is 0 every deviation is all of it. NaN is as far as can be.
        shares.append(0.0 if apart == 0 else apart / norm if norm > 0 and np.isfinite(apart) else np.inf)
    return max(shares, default=0.0)


def _within(expected: Outputs, found: Outputs) -> bool:
    return deviation(expected, found) <= MOST_DEVIATION


TOP1 = Answer("the same class first", top1, operator.eq)
DEVIATION = Answer(f"outputs within {100 * MOST_DEVIATION:g} %", dict, _within)
