"""Bottleneck vertices and segments against brute force over random graphs."""

from __future__ import annotations

import itertools
import random

import pytest

from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.segments import bottleneck_cuts, segments
from tests.calibration.clocked_engine import graph_of


def random_graph(seed: int) -> ModelGraph:
    draw = random.Random(seed)
    layers: dict[str, list[str]] = {f"in{index}": [] for index in range(draw.choice([1, 1, 2]))}
    for index in range(draw.randint(1, 8)):
        layers[f"l{index}"] = sorted(draw.sample(sorted(layers), min(len(layers), draw.choice([1, 1, 1, 2]))))
    read = {name for inputs in layers.values() for name in inputs}
    return graph_of(layers, [name for name in layers if name not in read])


def down_sets(graph: ModelGraph) -> list[frozenset[str]]:
    """All down-closed sets that hold the inputs."""
    inputs = {layer.name for layer in graph.layers if not layer.inputs}
    working = [layer for layer in graph.layers if layer.inputs]
    found = []
    for picks in itertools.product([False, True], repeat=len(working)):
        inside = inputs | {layer.name for layer, pick in zip(working, picks, strict=True) if pick}
        if all(set(layer.inputs) <= inside for layer in working if layer.name in inside):
            found.append(frozenset(inside))
    return found


@pytest.mark.parametrize("seed", range(200))
def test_cuts_follow_the_layers_that_are_comparable_with_all_others(seed: int) -> None:
    graph = random_graph(seed)
    every = down_sets(graph)
    working = [layer.name for layer in graph.layers if layer.inputs]

    def needs(layer: str, other: str) -> bool:
        return all(other in cut for cut in every if layer in cut)

    bottlenecks = [layer for layer in working if all(needs(layer, other) or needs(other, layer) for other in working)]
    expected = {min((cut for cut in every if layer in cut), key=len) for layer in bottlenecks}
    assert set(map(frozenset, bottleneck_cuts(graph))) == expected | {min(every, key=len), max(every, key=len)}


@pytest.mark.parametrize("seed", range(50))
def test_segments_hold_every_layer_once_and_run_as_a_chain(seed: int) -> None:
    graph = random_graph(seed)
    chain = segments(graph)
    assert [name for segment in chain for name in segment.layers] == [
        layer.name for layer in graph.layers if layer.inputs
    ]
    have = set(graph.inputs)
    for segment in chain:
        assert set(segment.inputs) <= have
        assert {layer.name for layer in graph.between(segment.inputs, segment.outputs)} == set(segment.layers)
        have |= set(segment.outputs)
    assert set(graph.outputs) <= have


def test_a_residual_network_is_a_chain_of_layers() -> None:
    # A block's second layer reads what the block reads, but needs the first one too.
    chain = segments(load_model("resnet18"))
    assert {len(segment.layers) for segment in chain} == {1}
    assert chain[3].layers == ("layer1.0.conv2",)
    assert (chain[3].inputs, chain[3].outputs) == (("layer1.0.conv1", "conv1"), ("layer1.0.conv2",))
