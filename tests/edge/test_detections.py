"""Boxes: decoded from both layouts, suppressed as brute force does it, named and put where they are in the frame."""

from __future__ import annotations

import numpy as np
import pytest

from dnn_surgery.edge.detections import detect
from dnn_surgery.edge.fitting import placement
from dnn_surgery.model.boxes import Boxes, decode, overlaps, suppress
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.postprocess import Postprocess, detection_format

# Centre x, centre y, width, height; scores of two classes.
ROWS = np.array(
    [[50, 50, 20, 10, 0.1, 0.9], [51, 50, 20, 10, 0.2, 0.8], [51, 50, 20, 10, 0.7, 0.1], [9, 9, 2, 2, 0.1, 0.1]] * 2,
    dtype=np.float32,
)
TASK = Postprocess("detect", confidence=0.25, iou=0.5)


def random_boxes(seed: int, count: int = 60) -> Boxes:
    draw = np.random.default_rng(seed)
    low = draw.integers(0, 40, (count, 2)).astype(float)
    sides = draw.integers(1, 30, (count, 2)).astype(float)
    confidence = np.sort(draw.integers(0, 20, count) / 20)[::-1]
    return Boxes(np.concatenate([low, low + sides], axis=1), confidence, draw.integers(0, 3, count))


def brute_force(boxes: Boxes, iou: float) -> list[int]:
    """By the definition, on a raster of unit squares: corners are whole numbers, so areas are counts."""
    cells = [
        {(x, y) for x in range(int(left), int(right)) for y in range(int(top), int(bottom))}
        for left, top, right, bottom in boxes.corners
    ]
    kept: list[int] = []
    for one in range(len(cells)):
        if all(
            boxes.classes[one] != boxes.classes[other]
            or len(cells[one] & cells[other]) / len(cells[one] | cells[other]) <= iou
            for other in kept
        ):
            kept.append(one)
    return kept


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("iou", [0.1, 0.45, 0.7, 1.0])
def test_suppression_is_what_brute_force_says(seed: int, iou: float) -> None:
    boxes = random_boxes(seed)
    expected = brute_force(boxes, iou)
    assert suppress(boxes, iou).tolist() == expected
    assert suppress(boxes, iou, most=3).tolist() == expected[:3]


def test_no_boxes_and_boxes_without_area() -> None:
    assert suppress(random_boxes(0, 0), 0.5).tolist() == []
    empty = np.zeros((2, 4))
    assert overlaps(empty[0], empty).tolist() == [0, 0]


def test_both_layouts_say_the_same() -> None:
    boxes_first = ROWS.T[np.newaxis]
    anchors_first = np.insert(ROWS, 4, 1, axis=1)[np.newaxis]
    assert detection_format(boxes_first.shape) == "boxes-first"
    assert detection_format(anchors_first.shape) == "anchors-first"
    one, other = decode(boxes_first, 0.25), decode(anchors_first, 0.25)
    assert one.corners.tolist() == other.corners.tolist()
    assert one.corners[0].tolist() == [40, 45, 60, 55]
    assert one.classes.tolist() == other.classes.tolist() == [1, 1, 1, 1, 0, 0]
    assert np.allclose(one.confidence, [0.9, 0.9, 0.8, 0.8, 0.7, 0.7])


def test_that_there_is_anything_counts_in_the_older_layout() -> None:
    rows = np.insert(ROWS, 4, 0.5, axis=1)[np.newaxis]
    assert np.allclose(decode(rows, 0.25).confidence, [0.45, 0.45, 0.4, 0.4, 0.35, 0.35])


def test_boxes_have_names_and_stand_in_the_frame() -> None:
    where = placement(200, 100, Picture("x", 100, 100, "letterbox"))
    found = detect({"output": ROWS.T[np.newaxis]}, TASK, ["cat"], where)
    assert found is not None
    assert [(one.label, one.class_index) for one in found] == [("1", 1), ("cat", 0)]
    assert found[0].box == (80, 40, 120, 60)
    assert found[0].confidence == pytest.approx(0.9)


def test_a_graph_that_suppresses_itself_is_only_read() -> None:
    rows = np.zeros((1, 4, 6), np.float32)
    rows[0, 0] = [1, 2, 3, 4, 0.5, 2]
    rows[0, 1] = [1, 2, 3, 4, 0.4, 2]
    found = detect({"detections": rows}, Postprocess("detect", suppressed=True), None, None)
    assert found is not None
    assert [(one.class_index, one.box) for one in found] == [(2, (1, 2, 3, 4))] * 2


def test_not_a_number_is_never_found() -> None:
    rows = ROWS.copy()
    rows[0, 5] = np.nan
    boxes = decode(rows.T[np.newaxis], 0.25)
    assert np.isfinite(boxes.confidence).all()
    assert len(boxes.confidence) == 5


def test_outputs_without_boxes_are_none() -> None:
    assert detect({"scores": np.zeros((1, 10), np.float32)}, TASK, None, None) is None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 84, 8400), "boxes-first"),
        ((None, 22, 2100), "boxes-first"),
        ((None, 84, None), "boxes-first"),
        ((1, 25200, 85), "anchors-first"),
        ((None, None, 85), "anchors-first"),
        ((1, 5, 8400), "boxes-first"),
        ((1, 100, 5), None),
        ((1, 4, 100), None),
        ((1, 1000), None),
        ((1, 125, 13, 13), None),
        ((None, None, None), None),
    ],
)
def test_what_looks_like_boxes(shape: tuple[int | None, ...], expected: str | None) -> None:
    assert detection_format(shape) == expected
