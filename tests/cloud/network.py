"""A small network with branches and two outputs, to cut and to serve."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dnn_surgery.cloud.ray_server import RayServer
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.protocol.client import InferenceClient

SIZE = 16
NAME = "branches"


class Branches(nn.Module):
    """stem -> (left, right) -> sum -> head; the second output is the mean of the sum."""

    example_inputs = torch.zeros(1, 3, SIZE, SIZE)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.left = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.ReLU())
        self.head = nn.Linear(8 * SIZE * SIZE, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(x)
        x = self.left(x) + self.right(x)
        return self.head(x.flatten(1)), x.mean(dim=(2, 3))


def build() -> nn.Module:
    """The network with the same weights every time (a factory, for `serve`)."""
    return seeded(0)


def seeded(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Branches().eval()


def make_graph(seed: int = 0) -> ModelGraph:
    return trace(seeded(seed), (Branches.example_inputs,), name=NAME)


def random_input(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)


def cuts(graph: ModelGraph) -> list[tuple[str, ...]]:
    """The layers at the edge: every prefix in topological order, and what each layer needs and no more."""
    names = [layer.name for layer in graph.layers]
    prefixes = [tuple(names[: length + 1]) for length in range(len(names) - 1)]
    return list(dict.fromkeys([*prefixes, *(graph.edge_layers(name) for name in names)]))


def head(engine: Engine, edge: tuple[str, ...], inputs: dict[str, Array]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The boundary tensors of a cut, and the outputs that are still to be computed."""
    tensors = cut_tensors(engine.graph, edge)
    return engine.part(engine.graph.inputs, tensors.sent)(inputs), tensors.remaining


def assert_equal(got: dict[str, Array], expected: dict[str, Array]) -> None:
    """Equal to the bit, and the same names."""
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@contextmanager
def served(engine: Engine, **options: Any) -> Iterator[InferenceClient]:
    """A client of a server of its own."""
    with CloudServer(engine, **options) as server, client_of(server, engine.graph) as client:
        yield client


def client_of(server: CloudServer | RayServer, graph: ModelGraph, **options: Any) -> InferenceClient:
    return InferenceClient(server.address, model_name=graph.name, fingerprint=graph.fingerprint, **options)


def make(seed: int = 0) -> Engine:
    return make_engine(make_graph(seed), name="torch", device="cpu", threads=1)
