"""tail(head(x)) equals the unsplit model to the bit: every cut of the zoo, thirty cuts each of real architectures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.errors import InputError, ModelError, TensorError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail, split
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.normalisation import example_picture
from dnn_surgery.model.tracing import trace
from dnn_surgery.model.weights import seed_weights
from dnn_surgery.model.zoo import entry
from tests.execution.architectures import ARCHITECTURES
from tests.execution.cuts import Arrays, all_cuts, some_cuts, through_bytes

torch.set_num_threads(1)


def flat_results(module: nn.Module, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    """The tensors that the unsplit module returns, in order."""
    with torch.inference_mode():
        returned = module(**inputs)
    leaves, _ = torch.utils._pytree.tree_flatten(dict(returned) if isinstance(returned, dict) else returned)
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def assert_cuts_are_exact(
    graph: ModelGraph, cuts: list[tuple[str, ...]], inputs: Arrays, expected: list[np.ndarray]
) -> None:
    engine = make_engine(graph, device="cpu")
    assert len(graph.outputs) == len(expected)
    for edge in cuts:
        held = Head(engine, edge)(through_bytes(inputs))
        results = Tail(engine, edge)(through_bytes(held))
        for name, value in zip(graph.outputs, expected, strict=True):
            assert results[name].dtype == value.dtype
            assert np.array_equal(results[name], value, equal_nan=True), f"{name} differs at the cut {edge[-1]}"


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "nin", "tiny_yolov2", "resnet18"])
def test_every_cut_of_the_papers_networks(name: str) -> None:
    found = entry(name)
    with torch.device("meta"):
        module = found.build(found.classes)
    seed_weights(module)
    picture = example_picture(found.picture)
    graph = trace(module.eval(), picture, name=name, layers=found.layers)
    cuts = list(all_cuts(graph))
    assert len(cuts) >= len(graph.layers)
    expected = flat_results(module, {"picture": picture})
    assert_cuts_are_exact(graph, cuts, {"picture": picture.numpy()}, expected)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_thirty_cuts_of_real_architectures(name: str) -> None:
    module, inputs = ARCHITECTURES[name]()
    graph = trace(module, inputs, name=name)
    # An LSTM has few layers, and all its cuts are run; the others have far more than thirty.
    cuts = list(itertools.islice(all_cuts(graph), 200)) if len(graph.layers) < 20 else some_cuts(graph, 30)
    assert len(cuts) >= (30 if name != "lstm" else 8)
    arrays = {key: value.numpy() for key, value in inputs.items() if key in graph.inputs}
    assert_cuts_are_exact(graph, cuts, arrays, flat_results(module, dict(inputs)))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.conv(x).relu()
        return {"features": features, "scores": self.fc(features.mean((2, 3)))}


@pytest.fixture(scope="module")
def small() -> ModelGraph:
    torch.manual_seed(0)
    return trace(Small().eval(), torch.rand(1, 3, 8, 8), name="small")


def test_arrays_give_arrays_and_tensors_give_tensors(small: ModelGraph) -> None:
    head, tail = split(small, cut="conv")
    x = torch.rand(1, 3, 8, 8)
    from_arrays = tail(head({"x": x.numpy()}))
    from_tensors = tail(head({"x": x}))
    for name in small.outputs:
        assert isinstance(from_arrays[name], np.ndarray)
        assert isinstance(from_tensors[name], torch.Tensor)
        assert np.array_equal(from_arrays[name], from_tensors[name].numpy())


def test_the_tail_passes_on_what_the_head_finished(small: ModelGraph) -> None:
    head, tail = split(small, cut="conv")
    assert head.tensors.finished == ("conv",)
    assert head.tensors.remaining == ("fc",)
    held = head({"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert tail(held)["conv"] is held["conv"]


def test_all_at_the_edge_and_all_in_the_cloud(small: ModelGraph) -> None:
    x = {"x": np.ones((1, 3, 8, 8), np.float32)}
    everything = [layer.name for layer in small.layers]
    engine = make_engine(small)
    at_edge = Tail(engine, everything)(Head(engine, everything)(x))
    in_cloud = Tail(engine, ["x"])(Head(engine, ["x"])(x))
    assert Head(engine, everything).tensors.sent == ()
    assert Head(engine, ["x"]).tensors.sent == ("x",)
    for name in small.outputs:
        assert np.array_equal(at_edge[name], in_cloud[name])


def test_an_input_that_only_the_cloud_reads_is_sent_as_it_is() -> None:
    class TwoInputs(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (torch.linalg.norm(x, dim=1, keepdim=True) * y).cumsum(1)

    graph = trace(TwoInputs(), {"x": torch.rand(1, 3), "y": torch.rand(1, 3)})
    head, tail = split(graph, cut=next(layer.name for layer in graph.layers if layer.inputs == ("x",)))
    assert "y" in head.tensors.sent
    inputs = {"x": torch.rand(1, 3), "y": torch.rand(1, 3)}
    assert torch.equal(tail(head(inputs))[graph.outputs[0]], TwoInputs()(**inputs))


def test_bfloat16_travels_as_bits() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval().to(torch.bfloat16)
    x = torch.rand(1, 4).to(torch.bfloat16)
    graph = trace(module, x)
    head, tail = split(graph, cut="0")
    held = head({"input": x.view(torch.uint16).numpy()})
    assert held["0"].dtype == np.uint16
    result = torch.from_numpy(tail(through_bytes(held))["2"]).view(torch.bfloat16)
    assert torch.equal(result, module(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3, 9, 8), np.float32), r"'x' has shape \[1, 3, 9, 8\], expected \[1, 3, 8, 8\]"),
        (np.zeros((1, 3, 8, 8), np.float64), "'x' has datatype float64, expected float32"),
        (torch.zeros(1, 3, 8), r"'x' has shape \[1, 3, 8\]"),
    ],
)
def test_wrong_tensors_are_named(small: ModelGraph, x: object, message: str) -> None:
    head, _ = split(small, cut="conv")
    with pytest.raises(TensorError, match=message):
        head({"x": x})
    with pytest.raises(TensorError, match="missing tensors: x"):
        head({})


def test_wrong_cuts_are_named(small: ModelGraph) -> None:
    with pytest.raises(ModelError, match="no layer 'con' in small; did you mean 'conv'"):
        split(small, cut="con")
    with pytest.raises(InputError, match="either a plan or cut"):
        split(small)
    with pytest.raises(ModelError, match="'fc' is at the edge but needs"):
        Head(make_engine(small), ["x", "fc"])
    with pytest.raises(InputError, match="no device 'quantum'"):
        make_engine(small, device="quantum")
    with pytest.raises(InputError, match="no engine 'torsh'; did you mean 'torch'"):
        make_engine(small, name="torsh")


def test_parts_name_what_is_unknown_missing_or_unneeded(small: ModelGraph) -> None:
    engine = make_engine(small)
    with pytest.raises(TensorError, match="unknown tensors in small: y"):
        engine.part(["y"], ["fc"])
    with pytest.raises(TensorError, match="missing tensors: x"):
        engine.part([], ["fc"])
    with pytest.raises(TensorError, match="unneeded tensors: x"):
        engine.part(["x", "conv"], ["fc"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_taken_where_present_and_agrees_with_the_cpu(small: ModelGraph) -> None:
    engine = make_engine(small)
    assert engine.info.device.startswith("cuda")
    x = {"x": np.ones((1, 3, 8, 8), np.float32)}
    on_cpu = make_engine(small, device="cpu").part(("x",), small.outputs)(x)
    head, tail = split(small, cut="conv", engine=engine)
    for name, value in tail(head(x)).items():
        np.testing.assert_allclose(value, on_cpu[name], rtol=1e-3, atol=1e-4)
