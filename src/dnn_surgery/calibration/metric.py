"""By how much a small change of a model's outputs changes its answer: the metric in which codecs are learnt.

probabilities  sum of dp^2 / p, the Fisher metric (Amari, Natural gradient works efficiently in learning, 1998)
class scores   the same of their softmax p: dz^T (diag(p) - p p^T) dz
boxes          confidences, and sides of the boxes that are there, in units of what still counts as the same box
otherwise      |dy|^2 / |y|^2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.calibration.answers import MOST_CONFIDENCE_APART, TOP1, answer_of
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.postprocess import detection_format

# Classes of less probability than this would, with their large weight, be all that an estimate sees.
_LEAST_PROBABILITY = 1e-6
# A square that is moved by this share of its side still overlaps half of what both cover (answers.LEAST_IOU).
_MOST_MOVED = 1 / 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A change d of an output costs |A^T d|^2 with A = diag(scale) (I - v v^T), v along the last dimension, or 0.

    `scale` is of the output's shape, or one number for all; `v` unit vectors, of the output's shape.
    """

    scale: Any
    v: Floats | None = None

    def of(self, change: Array) -> Floats:
        """A^T d: its square is the cost."""
        return self._aside(self.scale * np.asarray(change, np.float64))

    def direction(self, normal: Floats) -> Floats:
        """A r: of normal numbers r directions with the metric as their covariance."""
        found: Floats = self.scale * self._aside(normal)
        return found

    def _aside(self, values: Floats) -> Floats:
        if self.v is None:
            return values
        left: Floats = values - self.v * (self.v * values).sum(axis=-1, keepdims=True)
        return left


MetricOf = Callable[[Array], Metric]
"""The metric at an output."""


def metric_of(graph: ModelGraph) -> MetricOf:
    """What the graph's answers are (:func:`dnn_surgery.calibration.answers.answer_of`) says what counts."""
    return partial(_metric, graph)


def _metric(graph: ModelGraph, output: Array) -> Metric:
    task = graph.postprocess
    values = output.astype(np.float64)
    if task is not None and task.task == "detect" and not task.suppressed and detection_format(output.shape):
        return Metric(_box_scale(values))
    if values.ndim >= 2 and (values >= 0).all() and np.allclose(values.sum(axis=-1), 1, atol=1e-3):
        return Metric(1 / np.sqrt(values.clip(_LEAST_PROBABILITY)))
    if answer_of(graph) is TOP1:
        root = np.exp((values - values.max(axis=-1, keepdims=True)) / 2)
        root /= np.linalg.norm(root, axis=-1, keepdims=True)
        return Metric(root, root)
    return Metric(1 / max(float(np.linalg.norm(values)), np.finfo(np.float32).tiny))


def _box_scale(output: Floats) -> Floats:
    """For each number of the output: 1 over the change that still leaves the box the same."""
    boxes_first = detection_format(output.shape) == "boxes-first"
    rows = output.swapaxes(1, 2) if boxes_first else output
    classes = rows[..., 4:] if boxes_first else rows[..., 5:]
    scale = np.empty_like(rows)
    there = classes.max(axis=-1, keepdims=True)
    if boxes_first:
        scale[..., 4:] = 1 / MOST_CONFIDENCE_APART
    else:
        # A confidence is the product of both.
        scale[..., 4:5], scale[..., 5:] = there / MOST_CONFIDENCE_APART, rows[..., 4:5] / MOST_CONFIDENCE_APART
        there = there * rows[..., 4:5]
    side = np.sqrt(np.abs(rows[..., 2:3] * rows[..., 3:4])).clip(1)
    # Where nothing was seen the sides of the box are anything.
    scale[..., :4] = there / (_MOST_MOVED * side)
    return scale.swapaxes(1, 2) if boxes_first else scale
