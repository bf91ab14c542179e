"""Suppression inside a graph against suppression at the edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dnn_surgery.edge.detections import detect
from dnn_surgery.errors import ModelError
from dnn_surgery.model.detections import STEPS, Detections
from dnn_surgery.model.postprocess import CANDIDATES, DETECTIONS, Postprocess

TASK = Postprocess("detect", confidence=0.3, iou=0.5)
SUPPRESSED = Postprocess("detect", confidence=0.3, iou=0.5, suppressed=True)


def random_output(seed: int, anchors: int = 300, classes: int = 3) -> torch.Tensor:
    """[2, 4 + classes, anchors]."""
    draw = np.random.default_rng(seed)
    boxes = np.concatenate([draw.uniform(0, 100, (2, 2, anchors)), draw.uniform(5, 40, (2, 2, anchors))], axis=1)
    return torch.from_numpy(np.concatenate([boxes, draw.uniform(0, 1, (2, classes, anchors)) ** 2], axis=1)).float()


@pytest.mark.parametrize("seed", range(20))
def test_a_graph_finds_what_the_edge_finds(seed: int) -> None:
    raw = random_output(seed)
    rows = Detections(TASK)(raw).numpy()
    assert rows.shape == (2, DETECTIONS, 6)
    for index in range(2):
        expected = detect({"raw": raw[index : index + 1].numpy()}, TASK, None, None)
        found = detect({"rows": rows[index : index + 1]}, SUPPRESSED, None, None)
        assert expected and found
        assert len(found) == min(len(expected), DETECTIONS)
        for ours, theirs in zip(found, expected, strict=False):
            assert ours.class_index == theirs.class_index
            assert (*ours.box, ours.confidence) == pytest.approx((*theirs.box, theirs.confidence), abs=1e-4)


def test_the_older_layout_gives_the_same() -> None:
    raw = random_output(1)
    older = torch.cat([raw[:, :4], torch.ones(2, 1, raw.shape[2]), raw[:, 4:]], dim=1).transpose(1, 2)
    assert torch.equal(Detections(TASK)(raw), Detections(TASK)(older))


def chain(length: int) -> torch.Tensor:
    """Boxes in a row, each covering the next one by two thirds of the two: every other one stays."""
    boxes = torch.tensor([[50.0 + 2 * index, 50, 10, 10, 0.99 - index / 1000] for index in range(length)])
    return boxes.T.unsqueeze(0)


@pytest.mark.parametrize("length", [6, STEPS])
def test_chains_are_decided_to_their_end(length: int) -> None:
    rows = Detections(TASK)(chain(length))
    assert (rows[0, :, 4] > 0).sum() == length // 2


def test_a_longer_chain_loses_no_box_that_should_stay() -> None:
    rows = Detections(TASK)(chain(3 * STEPS))
    expected = detect({"raw": chain(3 * STEPS).numpy()}, TASK, None, None)
    assert expected is not None
    kept = {round(float(row[0]), 3) for row in rows[0] if row[4] > 0}
    assert {round(one.box[0], 3) for one in expected} <= kept


def test_fewer_boxes_than_rows_leave_zeros() -> None:
    rows = Detections(TASK)(chain(6))
    assert rows.shape[1] <= DETECTIONS
    assert torch.equal(rows[0, 3:], torch.zeros_like(rows[0, 3:]))


def test_only_the_surest_compete() -> None:
    apart = torch.stack(
        [torch.arange(600.0) * 50, torch.zeros(600), torch.full((600,), 10.0), torch.full((600,), 10.0)]
    )
    raw = torch.cat([apart, torch.linspace(0.4, 0.9, 600).unsqueeze(0)]).unsqueeze(0)
    rows = Detections(TASK)(raw)
    assert CANDIDATES < 600
    assert torch.equal(rows[0, :, 4], torch.linspace(0.4, 0.9, 600).flip(0)[:DETECTIONS])


def test_the_first_result_with_boxes_is_taken() -> None:
    raw = random_output(3)
    module = Detections(TASK)
    features = [torch.zeros(1, 8, 4, 4)]
    assert torch.equal(module((raw, features)), module(raw))
    assert torch.equal(module({"features": features, "boxes": raw}), module(raw))


def test_a_result_without_boxes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"task detect needs an output .* the model makes \[1, 1000\]$"):
        Detections(TASK)(torch.zeros(1, 1000))
