"""Learning: what it minimises is smaller than by any other rotation tried, and real tensors become fewer bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.calibration.learning import learn_transform
from dnn_surgery.calibration.metric import metric_of
from dnn_surgery.calibration.probing import probed_sensitivity
from dnn_surgery.codecs.base import Array
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.errors import InputError, TensorError
from dnn_surgery.execution.sensitivity import Draw, channel_sensitivity
from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace


def mixed_samples(count: int = 6) -> list[Array]:
    """Six channels made of two sources and a little noise: highly correlated."""
    draw = np.random.default_rng(5)
    mixing = draw.normal(size=(6, 2))
    return [
        (np.tensordot(mixing, draw.laplace(size=(2, 8, 8)), 1) + draw.normal(scale=0.05, size=(6, 8, 8))).astype(
            np.float32
        )[np.newaxis]
        for _ in range(count)
    ]


def draw_of(graph: ModelGraph) -> Draw:
    metric = metric_of(graph)
    return lambda output, draw: metric(output).direction(draw.standard_normal(output.shape))


def coded(codec: Transform, sample: Array) -> tuple[int, Array]:
    payload = codec.encode(sample)
    return len(payload), codec.decode(payload, "float32", sample.shape) - sample


def test_coefficients_are_decorrelated_and_strongest_first() -> None:
    samples = mixed_samples()
    found = learn_transform(samples, step=0.2)
    values = np.concatenate([sample.reshape(6, -1) for sample in samples], axis=1)
    coefficients = found.forward.astype(float) @ (values - found.mean[:, np.newaxis])
    covariance = np.cov(coefficients)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()
    assert (np.diff(np.diag(covariance)) <= 1e-6).all()
    # The step: the root mean square of all coefficients is 1 / step steps.
    assert np.sqrt(np.diag(covariance).mean()) == pytest.approx(5.0, rel=0.01)
    assert found.forward.astype(float) @ found.inverse == pytest.approx(np.eye(6), abs=1e-3)


def test_correlated_channels_take_fewer_bytes_at_the_same_error() -> None:
    samples = mixed_samples()
    learnt = Transform(learn_transform(samples[:4], step=0.2))
    size, error = coded(learnt, samples[5])
    # Six channels coded apart with the same mean square error d take sum(log2(s_i^2 / d)) / 2 bits a position at least
    # (Shannon's bound for normal sources); two sources take far less.
    distortion = float((error**2).mean())
    apart = sum(max(0.0, 0.5 * np.log2(float(channel.var()) / distortion)) for channel in samples[5][0])
    assert size < 0.75 * apart * 64 / 8


def test_what_the_answer_depends_on_is_kept_better() -> None:
    draw = np.random.default_rng(1)
    samples = [draw.normal(size=(1, 4, 10, 10)).astype(np.float32) for _ in range(4)]
    codec = Transform(learn_transform(samples, step=0.5, sensitivity=np.diag([100.0, 1.0, 1.0, 1.0])))
    _, error = coded(codec, samples[0])
    errors = (error[0].reshape(4, -1) ** 2).mean(axis=1)
    assert errors[0] * 30 < errors[1:].min()


class Weighted(nn.Module):
    """Class scores, as they are, as probabilities, or as a map, that depend on channel 1 alone, twice as much."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x + 10)
        scores = torch.stack([2 * y[:, 1].mean((1, 2)), 0 * y[:, 0].mean((1, 2))], dim=1)
        if self.kind == "map":
            return scores[:, :, None]
        scores = scores - 20 * torch.tensor([1.0, 0.0])
        return torch.softmax(scores, dim=1) if self.kind == "probabilities" else scores


# Each of 4 positions has the derivative 2 / 4 of the score. At p = 1/2 both, dp/dscore = 1/4, and (1/4)^2 / p summed
# over both classes is 1/4; for scores that are no probabilities it is in shares of their norm, which is 20.
KINDS = pytest.mark.parametrize(("kind", "cost"), [("scores", 1 / 4), ("probabilities", 1 / 4), ("map", 1 / 20**2)])


@KINDS
def test_sensitivity_is_the_fisher_matrix(kind: str, cost: float) -> None:
    x = torch.zeros(1, 3, 2, 2)
    graph = trace(Weighted(kind).eval(), x, name="weighted")
    engine = TorchEngine(graph, threads=1)
    found = channel_sensitivity(engine, graph.inputs[0], [x.numpy()], draw_of(graph), draws=3000)
    assert found[1, 1] == pytest.approx(4 * (2 / 4) ** 2 * cost, rel=0.15)
    assert np.abs(np.delete(found.reshape(-1), 4)).max() < 1e-6


@KINDS
def test_trying_finds_the_fisher_matrix_as_well(kind: str, cost: float) -> None:
    x = np.zeros((1, 3, 2, 2), np.float32)
    graph = trace(Weighted(kind).eval(), torch.from_numpy(x), name="weighted")
    part = TorchEngine(graph, threads=1).part(graph.inputs, graph.outputs)
    # What is changed is changed by a tenth of its size: of what is constant by 1, which here is beyond what is linear.
    x[0, 0, 0, 0] = 0.01
    samples = [{graph.inputs[0]: x}] * 24
    metric = metric_of(graph)
    tried = [probed_sensitivity(part, graph.inputs[0], samples, metric, seed=seed) for seed in range(30)]
    found = np.mean(tried, axis=0)
    assert found[1, 1] == pytest.approx(4 * (2 / 4) ** 2 * cost, rel=0.2)
    assert np.abs(np.delete(found.reshape(-1), 4)).max() < 1e-3 * found[1, 1]


def test_what_cannot_be_learnt() -> None:
    samples = mixed_samples(1)
    with pytest.raises(InputError, match="at least one of them"):
        learn_transform([], step=1)
    with pytest.raises(InputError, match="must be positive"):
        learn_transform(samples, step=0)
    with pytest.raises(InputError, match="expected \\[6, 6\\]"):
        learn_transform(samples, step=1, sensitivity=np.eye(5))
    with pytest.raises(InputError, match="constant"):
        learn_transform([np.ones((1, 3, 4), np.float32)], step=1)
    with pytest.raises(InputError, match="not finite"):
        learn_transform([np.full((1, 3, 4), np.nan, np.float32)], step=1)
    graph = trace(Weighted("scores").eval(), torch.zeros(1, 3, 2, 2), name="weighted")
    engine, draw = TorchEngine(graph, threads=1), draw_of(graph)
    with pytest.raises(InputError, match="there are none"):
        channel_sensitivity(engine, graph.inputs[0], [], draw)
    with pytest.raises(InputError, match="there are none"):
        part = engine.part(graph.inputs, graph.outputs)
        probed_sensitivity(part, graph.inputs[0], [], metric_of(graph))
    with pytest.raises(TensorError):
        channel_sensitivity(engine, "nothing", [np.zeros((1, 3, 2, 2), np.float32)], draw)
