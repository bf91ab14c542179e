"""Habits of modules that users bring, each in a small one: most must be refused in one line that says why."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from tests.execution.architectures import Made, random_tensor


class _Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(8, 8), nn.Linear(8, 4)


class BranchOnData(_Base):
    """`if` on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = self.below(x)
        if below.sum() > 0:
            below = below.relu()
        return self.above(below)


class DropoutAlways(_Base):
    """Dropout that evaluation mode does not switch off."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(functional.dropout(self.below(x), 0.5, training=True))


class Noise(_Base):
    """A sample from a normal distribution, as in a variational autoencoder."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = self.below(x)
        return self.above(below + torch.randn_like(below))


class Counter(_Base):
    """Counts its own calls in a buffer."""

    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.above(self.below(x)) / self.calls


class Memory(_Base):
    """Keeps its last answer in an attribute and adds it to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        above = self.above(self.below(x))
        self.last = above if self.last is None else above + self.last
        return self.last


class ThroughNumpy(_Base):
    """Leaves torch on the way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = self.below(x).detach().numpy()
        return self.above(torch.from_numpy(below * 2))


class Found(_Base):
    """As many rows as pass a threshold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = self.below(x)
        return self.above(below[below.sum(1) > 0])


class NoTensor(_Base):
    """Returns a Python number."""

    def forward(self, x: torch.Tensor) -> int:
        return int(self.below(x).shape[0])


HABITS: dict[str, Callable[[], Made]] = {
    name: lambda kind=kind: (kind().eval(), {"x": random_tensor(4, 8)})  # type: ignore[misc]
    for name, kind in {
        "a branch on data": BranchOnData,
        "dropout in evaluation": DropoutAlways,
        "random numbers": Noise,
        "a counter in a buffer": Counter,
        "a memory in an attribute": Memory,
        "a way through numpy": ThroughNumpy,
        "no tensor as result": NoTensor,
        "rows that pass a threshold": Found,
    }.items()
}
