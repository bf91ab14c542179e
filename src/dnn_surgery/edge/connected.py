"""An edge at work with one server, of whatever make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.runner import Runner
from dnn_surgery.execution.engine import Array

_Connected = TypeVar("_Connected", bound="Connected")


@dataclass(frozen=True)
class Connected(ABC):
    """Runs frames until it is closed; a context manager that closes it. `edge` is what runs them."""

    edge: Runner

    def __enter__(self: _Connected) -> _Connected:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, inputs: Mapping[str, Array], *, name: str = "") -> FrameResult:
        """One frame; see :meth:`Runner.__call__`."""
        return self.edge(inputs, name=name)

    def stream(
        self, frames: Iterable[NamedInputs], *, in_flight: int | None = None
    ) -> Generator[FrameResult, None, None]:
        """Results in order; see :meth:`Runner.stream`."""
        return self.edge.stream(frames, in_flight=in_flight)

    @abstractmethod
    def close(self) -> None:
        """Ends the connection."""
