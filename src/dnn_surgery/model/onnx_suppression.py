"""Suppression as the last layer of an ONNX detector: ONNX's own operator, its results in rows of a fixed number.

Equal to :mod:`dnn_surgery.model.detections`, which solves the same for PyTorch as a fixed point: the candidates, their
order, the overlaps and the rows are computed alike. (Its steps decide chains of up to 32 boxes, this one all.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from dnn_surgery.model.postprocess import CANDIDATES, DETECTIONS, Postprocess, detection_format


class Operators(Protocol):
    """Makes operators and constants, such as a stage."""

    def __call__(self, operator: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """The first result of an operator."""

    def several(self, operator: str, count: int, *inputs: ir.Value, **attributes: Any) -> Sequence[ir.Value]:
        """All results of an operator."""

    def constant(self, values: Any, dtype: Any = np.int64) -> ir.Value:
        """A constant."""


def suppression(make: Operators, raw: ir.Value, shape: Sequence[int | None], postprocess: Postprocess) -> ir.Value:
    """The value [N, detections, 6] for the raw output of a YOLO network; see :class:`Postprocess` for the columns."""
    boxes_first = detection_format(shape) == "boxes-first"
    rows = make("Cast", raw, to=ir.DataType.FLOAT)
    if boxes_first:
        rows = make("Transpose", rows, perm=[0, 2, 1])
    anchors, values = (shape[2], shape[1]) if boxes_first else (shape[1], shape[2])
    scores = _columns(make, rows, 4 if boxes_first else 5)
    if not boxes_first:
        scores = make("Mul", scores, _columns(make, rows, 4, 5))
    likeliest, which = make.several("TopK", 2, scores, make.constant([1]), axis=-1)
    flat = make.constant([0, -1])
    likeliest, which = make("Reshape", likeliest, flat), make("Reshape", which, flat)

    count = _at_most(make, likeliest, anchors, CANDIDATES)
    confidence, order = make.several("TopK", 2, likeliest, count, axis=-1)
    classes = make("GatherElements", which, order, axis=1)
    low, high = _corners(make, _rows(make, _columns(make, rows, 0, 4), order, 4))
    sure = _sure(make, confidence, postprocess.confidence)
    # A format is only recognised by this number, so it is known.
    scored = _own_scores(make, sure, classes, (values or 0) - (4 if boxes_first else 5))
    kept = _kept(make, (low, high), sure, scored, postprocess)

    count = _at_most(make, confidence, None if anchors is None else min(anchors, CANDIDATES), DETECTIONS)
    best, places = make.several("TopK", 2, kept, count, axis=-1)
    column = make.constant([0, -1, 1])
    numbers = make("Cast", make("Reshape", classes, column), to=ir.DataType.FLOAT)
    chosen = _rows(make, make("Concat", low, high, numbers, axis=2), places, 5)
    best = make("Reshape", best, column)
    found = make("Cast", make("Greater", best, make.constant(0, np.float32)), to=ir.DataType.FLOAT)
    chosen = make("Mul", chosen, found)
    return make("Concat", _columns(make, chosen, 0, 4), best, _columns(make, chosen, 4), axis=2)


def _own_scores(make: Operators, sure: ir.Value, classes: ir.Value, count: int) -> ir.Value:
    """[N, classes, K]: each box competes in its own class alone, so its score is zero in all others."""
    numbers, row = make.constant(np.arange(count).reshape(1, -1, 1)), make.constant([0, 1, -1])
    own = make("Cast", make("Equal", make("Reshape", classes, row), numbers), to=ir.DataType.FLOAT)
    return make("Mul", make("Reshape", sure, row), own)


def _kept(
    make: Operators, corners: tuple[ir.Value, ir.Value], sure: ir.Value, scores: ir.Value, postprocess: Postprocess
) -> ir.Value:
    """The confidence [N, K] of each box that stays, else 0."""
    low, high = corners
    # Sides below nothing have no area, here as in PyTorch's stage; the operator would take their other corner.
    boxes = make("Concat", low, make("Max", low, high), axis=2)
    most, iou = make.constant([CANDIDATES]), make.constant([postprocess.iou], np.float32)
    chosen = make("NonMaxSuppression", boxes, scores, most, iou, make.constant([0], np.float32))
    places = make("Gather", chosen, make.constant([0, 2]), axis=1)
    nothing = make("ConstantOfShape", make("Shape", sure))
    return make("ScatterND", nothing, places, make("GatherND", sure, places))


def _sure(make: Operators, confidence: ir.Value, least: float) -> ir.Value:
    unsure = make("Less", confidence, make.constant(least, np.float32))
    return make("Mul", confidence, make("Cast", make("Not", unsure), to=ir.DataType.FLOAT))


def _corners(make: Operators, boxes: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Left and top, right and bottom [N, K, 2] of centres and sides [N, K, 4]."""
    centre = _columns(make, boxes, 0, 2)
    half = make("Div", _columns(make, boxes, 2, 4), make.constant(2, np.float32))
    return make("Sub", centre, half), make("Add", centre, half)


def _columns(make: Operators, rows: ir.Value, start: int, end: int = np.iinfo(np.int64).max) -> ir.Value:
    return make("Slice", rows, make.constant([start]), make.constant([end]), make.constant([2]))


def _rows(make: Operators, rows: ir.Value, places: ir.Value, columns: int) -> ir.Value:
    """The rows [N, K, columns] of [N, A, columns] at the places [N, K]."""
    column = make("Reshape", places, make.constant([0, -1, 1]))
    return make("GatherElements", rows, make("Expand", column, make.constant([1, 1, columns])), axis=1)


def _at_most(make: Operators, values: ir.Value, known: int | None, limit: int) -> ir.Value:
    """The smaller of the limit and the number of columns of `values` [N, A], as [1]."""
    if known is not None:
        return make.constant([min(known, limit)])
    there = make("Slice", make("Shape", values), make.constant([1]), make.constant([2]))
    # Before opset 12 only floating-point numbers have a minimum.
    least = make("Min", make("Cast", there, to=ir.DataType.FLOAT), make.constant([limit], np.float32))
    return make("Cast", least, to=ir.DataType.INT64)
