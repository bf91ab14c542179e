"""What a change of an output costs: the two forms of a metric agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.calibration.metric import Metric, metric_of
from dnn_surgery.codecs.base import Array
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace


def graph_of(shape: tuple[int, ...]) -> ModelGraph:
    return trace(nn.ReLU().eval(), torch.zeros(shape), name="same")


def cost(metric: Metric, change: Array) -> float:
    return float((metric.of(change) ** 2).sum())


def test_class_scores_cost_what_their_probabilities_do() -> None:
    scores = np.array([[2.0, 1.0, -1.0]])
    change = 1e-5 * np.array([[1.0, -2.0, 3.0]])

    def softmax(values: Array) -> Array:
        parts = np.exp(values)
        return parts / parts.sum()

    metric = metric_of(graph_of((1, 3)))
    expected = cost(metric(softmax(scores)), softmax(scores + change) - softmax(scores))
    assert cost(metric(scores), change) == pytest.approx(expected, rel=1e-3)
    # What all classes have in common changes no answer.
    assert cost(metric(scores), np.ones((1, 3))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("output", [[[2.0, 1.0, -1.0]], [[0.7, 0.2, 0.1]]])
def test_directions_have_the_metric_as_their_covariance(output: list[list[float]]) -> None:
    metric = metric_of(graph_of((1, 3)))(np.array(output))
    drawn = metric.direction(np.random.default_rng(0).standard_normal((40_000, 3)))
    covariance = drawn.T @ drawn / len(drawn)
    matrix = np.stack([metric.of(row)[0] for row in np.eye(3)])
    assert covariance == pytest.approx(matrix @ matrix.T, abs=0.03 * float(np.abs(matrix).max()) ** 2)


def test_other_outputs_cost_in_shares_of_their_norm() -> None:
    graph = graph_of((1, 2, 2))
    assert cost(metric_of(graph)(np.full((1, 2, 2), 5.0)), np.array([[[1.0, 0], [0, 0]]])) == pytest.approx(0.01)
    assert np.isfinite(metric_of(graph)(np.zeros((1, 2, 2))).scale)
