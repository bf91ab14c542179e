"""What heads made is made once while there is room, and few cuts are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.calibration.remembered_cuts import MOST_CUTS, RememberedCuts
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.tracing import trace

FRAMES = [{"x": np.full((1, 4), number, np.float32)} for number in range(5)]


class Row(nn.Module):
    """As many layers as there are cuts that are kept, and two more."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(MOST_CUTS + 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    torch.manual_seed(0)
    return TorchEngine(trace(Row().eval(), torch.zeros(1, 4), name="row"), threads=1)


def counted(cuts: RememberedCuts, edge: tuple[str, ...], asked: list[int]) -> list[Mapping[str, Array]]:
    """What the head makes of all frames, twice; notes the frames for which it ran."""
    cut = cuts.of(edge)
    head = cut.head

    def run(frame: Mapping[str, Array]) -> dict[str, Array]:
        asked.append(int(frame["x"][0, 0]))
        return head(frame)

    cut.head = run  # type: ignore[assignment]
    found = [cut.made(index) for index in (*range(len(FRAMES)), *range(len(FRAMES)))]
    cut.head = head
    return found


@pytest.mark.parametrize(("budget_bytes", "again"), [(16 * 5, []), (16 * 3, [3, 4]), (0, [0, 1, 2, 3, 4])])
def test_heads_run_once_a_frame_as_long_as_there_is_room(
    engine: TorchEngine, budget_bytes: int, again: list[int]
) -> None:
    asked: list[int] = []
    cuts = RememberedCuts(engine, FRAMES, budget_bytes=budget_bytes)
    made = counted(cuts, engine.graph.edge_layers("parts.0"), asked)
    assert asked == [0, 1, 2, 3, 4, *again]
    (tensor,) = made[0]
    for first, second in zip(made[:5], made[5:], strict=True):
        assert np.array_equal(first[tensor], second[tensor])


def test_the_cut_that_was_not_asked_for_longest_is_forgotten(engine: TorchEngine) -> None:
    cuts = RememberedCuts(engine, FRAMES)
    edges = [engine.graph.edge_layers(f"parts.{number}") for number in range(MOST_CUTS + 1)]
    first, second, *_ = [cuts.of(edge) for edge in edges[:MOST_CUTS]]
    assert cuts.of(reversed(edges[0])) is first
    cuts.of(edges[MOST_CUTS])
    assert cuts.of(edges[0]) is first
    assert cuts.of(edges[1]) is not second


def test_a_verifier_builds_the_parts_of_a_cut_once(engine: TorchEngine) -> None:
    verifier = FrameVerifier(engine, FRAMES)
    edge = engine.graph.edge_layers("parts.1")
    cut = verifier.cuts.of(edge)
    (tensor,) = engine.graph.boundary(edge)
    for codec in ("raw", "zstd", "fp16"):
        verifier.to_prove(0.9).verify(edge, {tensor: codec})
    assert verifier.cuts.of(edge) is cut
