"""When two answers are the same: classes, boxes, anything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dnn_surgery.calibration.answers import DEVIATION, TOP1, answer_of, deviation, same_boxes
from dnn_surgery.model.boxes import Boxes
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.tracing import trace
from tests.edge.networks import build

RIGHT = Boxes(np.array([[0.0, 0, 10, 10], [20, 20, 40, 40]]), np.array([0.9, 0.6]), np.array([1, 2], np.intp))


def changed(**parts: object) -> Boxes:
    return replace(RIGHT, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (RIGHT, True),
        (RIGHT[::-1], True),
        (changed(corners=np.array([[0.0, 0, 10, 10], [20, 20, 40, 31]])), True),
        # 20 x 9.9 of 20 x 20: less than half.
        (changed(corners=np.array([[0.0, 0, 10, 10], [20, 20, 40, 29.9]])), False),
        (changed(classes=np.array([1, 1], np.intp)), False),
        (changed(confidence=np.array([0.9, 0.69])), True),
        (changed(confidence=np.array([0.9, 0.71])), False),
        (RIGHT[:1], False),
        (RIGHT[:0], False),
        # Two boxes on one: each has a match only once.
        (RIGHT[[0, 0]], False),
    ],
)
def test_boxes_are_the_same_when_each_has_its_match(found: Boxes, same: bool) -> None:
    assert same_boxes(RIGHT, found) is same
    assert same_boxes(found, RIGHT) is same
    assert same_boxes(RIGHT[:0], RIGHT[:0])


def test_of_two_that_overlap_the_nearer_is_the_match() -> None:
    two = Boxes(np.array([[0.0, 0, 10, 10], [0, 0, 10, 14]]), np.array([0.9, 0.85]), np.zeros(2, np.intp))
    assert same_boxes(two, two[::-1])


def test_deviation_is_a_share_of_the_norm_of_the_worst_output() -> None:
    right = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    assert deviation(right, right) == 0
    assert deviation(right, {"a": np.array([3.0, 4.5]), "b": np.zeros(2)}) == pytest.approx(0.1)
    assert deviation(right, {"a": right["a"], "b": np.array([0, 1e-9])}) == np.inf
    assert deviation(right, {"a": np.array([np.nan, 4]), "b": np.zeros(2)}) == np.inf
    assert DEVIATION.same(right, {"a": np.array([3.0, 4.2]), "b": np.zeros(2)})
    assert not DEVIATION.same(right, {"a": np.array([3.0, 4.3]), "b": np.zeros(2)})


def test_the_graph_says_what_its_answer_is() -> None:
    graph = trace(build(), (torch.zeros(1, 32, 32, 3, dtype=torch.uint8),), name="small")
    assert answer_of(graph) is TOP1
    assert answer_of(replace(graph, postprocess=Postprocess("classify"))) is TOP1
    assert answer_of(replace(graph, postprocess=Postprocess("none"))) is DEVIATION
    detector = answer_of(replace(graph, postprocess=Postprocess("detect")))
    assert detector.same is same_boxes
    raw = np.zeros((1, 6, 20), np.float32)
    raw[0, :, 3] = [50, 50, 20, 10, 0.1, 0.9]
    (box,) = detector.of({"boxes": raw}).corners
    assert box.tolist() == [40, 45, 60, 55]
    middle = replace(graph, outputs=(graph.boundary(graph.edge_layers("first.0"))[0],))
    assert answer_of(middle) is DEVIATION
