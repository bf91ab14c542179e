"""What cannot be exported is refused in one line, and nothing of the attempt is left behind."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.exporting import quiet
from dnn_surgery.model.tracing import trace


class Remembering(nn.Module):
    """Adds its last answer to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = x if self.last is None else x + self.last
        return self.last


class Lazy(nn.Module):
    """Makes a constant on its first call and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            self.scale = torch.arange(4.0)
        return (x * self.scale).cumsum(1)


def test_a_module_that_remembers_a_call_is_refused_and_left_as_it_was() -> None:
    module = Remembering()
    with pytest.raises(ModelError, match=r"Remembering keeps tensors of a call for the next one: self\.last"):
        trace(module, torch.ones(1, 4))
    assert module.last is None


def test_a_constant_that_is_made_on_the_first_call_is_none_of_a_call() -> None:
    module, x = Lazy(), torch.ones(1, 4)
    graph = trace(module, x)
    part = make_engine(graph, device="cpu").part(graph.inputs, graph.outputs)
    assert np.array_equal(part({graph.inputs[0]: x.numpy()})[graph.outputs[0]], module(x).numpy())
    assert module.scale is not None


class Deciding(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp() if x.sum() > 0 else x.cumsum(1)


def test_a_refusal_names_the_line_and_torch_prints_nothing_beside_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ModelError, match=r"cannot export Deciding: its way depends on values .*\(test_exporting\.py:\d+\)"
    ):
        trace(Deciding(), torch.ones(1, 4))
    assert capfd.readouterr() == ("", "")


def test_what_other_threads_say_meanwhile_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """A source that cannot read a picture says so while the model is traced."""
    with quiet():
        sys.stderr.write("torch says\n")
        other = threading.Thread(target=lambda: sys.stderr.write("another says\n"))
        other.start()
        other.join()
    assert capsys.readouterr().err == "another says\n"
