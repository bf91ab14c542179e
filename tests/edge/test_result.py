"""What an answer says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dnn_surgery.edge.answer import answer
from dnn_surgery.edge.detections import Detection
from dnn_surgery.edge.result import Classification, FrameResult, classify
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.postprocess import Postprocess
from tests.calibration.clocked_engine import graph_of

GRAPH = replace(graph_of({"in": (), "out": ("in",)}, ["out"]), picture=Picture("in", 100, 100, "letterbox"))
BOX = np.array([[[50], [50], [20], [10], [0.75]] * 1], np.float32).repeat(6, axis=2)


def said(array: Array, graph: ModelGraph = GRAPH, size: tuple[int, int] | None = None) -> object:
    result = FrameResult(0, "frame", {"out": array}, "edge", latency_s=0.0, edge_s=0.0, frame_size=size)
    return answer(graph, result)


def row(*scores: float, dtype: str = "float32") -> Array:
    return np.array([scores], dtype=dtype)


def test_probabilities_are_left_as_they_are() -> None:
    assert classify({"out": row(0.25, 0.75)}, ["cat", "dog"]) == Classification(1, "dog", 0.75)
    assert classify({"out": row(0.2, 0.8, dtype="float16")}, None) == Classification(1, "1", float(np.float16(0.8)))


@pytest.mark.parametrize("scores", [(1.0, 3.0, 2.0), (0.5, 0.9, 0.9), (-0.5, 0.5, 0.4), (-1000.0, 1000.0, 0.0)])
def test_other_scores_become_probabilities(scores: tuple[float, ...]) -> None:
    found = classify({"out": row(*scores)}, None)
    assert found is not None
    assert found.class_index == 1
    shares = np.exp(np.array(scores) - max(scores))
    assert found.confidence == pytest.approx(shares[1] / shares.sum())


@pytest.mark.parametrize("array", [np.zeros((2, 3), np.float32), np.zeros((1, 3), np.int64), np.zeros((1, 3, 4, 4))])
def test_what_is_no_classifier_s_output_has_no_label(array: Array) -> None:
    assert classify({"out": array}, None) is None


def test_boxes_stand_in_the_frame_where_its_size_is_known() -> None:
    graph = replace(GRAPH, postprocess=Postprocess("detect"), labels=("dog",))
    assert said(BOX, graph, (200, 100)) == (Detection(0, "dog", 0.75, (80, 40, 120, 60)),)
    assert said(BOX, graph) == (Detection(0, "dog", 0.75, (40, 45, 60, 55)),)


def test_none_leaves_the_arrays_alone() -> None:
    assert said(row(0.25, 0.75)) == Classification(1, "1", 0.75)
    assert said(row(0.25, 0.75), replace(GRAPH, postprocess=Postprocess("classify"))) == Classification(1, "1", 0.75)
    assert said(row(0.25, 0.75), replace(GRAPH, postprocess=Postprocess("none"))) is None
