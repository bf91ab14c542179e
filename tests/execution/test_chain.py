"""The chain chosen among a graph's segments: what crosses its borders, and which parts are stretches of it."""

from __future__ import annotations

import pytest

from dnn_surgery.execution.chain import Chain, make_chain
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.segments import segments
from tests.calibration.clocked_engine import graph_of
from tests.model.test_segments import random_graph


@pytest.fixture(scope="module")
def resnet18() -> ModelGraph:
    return load_model("resnet18")


def borders(chain: Chain) -> list[tuple[str, ...]]:
    return [segment.boundary for segment in chain.segments[1:]]


@pytest.mark.parametrize("most", [1, 3, 24])
def test_it_covers_every_layer_once_whatever_its_length(most: int, resnet18: ModelGraph) -> None:
    chain = make_chain(resnet18, max_segments=most)
    assert len(chain.segments) <= most
    assert chain.steps(resnet18.inputs, resnet18.outputs) == range(len(chain.segments))
    covered = [name for segment in chain.segments for name in segment.layers]
    assert covered == [layer.name for layer in resnet18.layers if layer.inputs]


def test_no_border_lies_inside_a_residual_block(resnet18: ModelGraph) -> None:
    found = borders(make_chain(resnet18))
    assert ("layer1.0.conv2",) in found
    assert {len(crossing) for crossing in found} == {1}
    assert len(found) < len(segments(resnet18)) - 1


def test_the_borders_with_the_smallest_tensors_are_kept(resnet18: ModelGraph) -> None:
    sizes = sorted(resnet18.tensors[name].size_bytes for (name,) in borders(make_chain(resnet18)))
    kept = sorted(resnet18.tensors[name].size_bytes for (name,) in borders(make_chain(resnet18, max_segments=4)))
    assert kept == sizes[:3]


@pytest.mark.parametrize("seed", range(50))
def test_every_border_is_a_border_of_segments_and_every_stretch_computes(seed: int) -> None:
    graph = random_graph(seed)
    chain = make_chain(graph)
    have = set(graph.inputs)
    for index, segment in enumerate(chain.segments):
        assert set(segment.inputs) <= set(segment.boundary) <= have
        have |= set(segment.outputs)
        rest = [tensor for tensor in graph.outputs if tensor not in have or tensor in segment.outputs]
        if rest and segment.boundary:
            assert chain.steps(segment.boundary, rest) == range(index, len(chain.segments))
    assert set(graph.outputs) <= have


def test_a_result_on_the_way_is_no_obstacle() -> None:
    layers = {"x": [], "a": ["x"], "early": ["a"], "b": ["a"], "c": ["b"]}
    graph = graph_of(layers, ["early", "c"])
    assert [segment.layers for segment in segments(graph)] == [("a",), ("early", "b", "c")]
    assert borders(make_chain(graph)) == [("a",), ("b",)]
