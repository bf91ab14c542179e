"""How a part of a graph runs, whatever the engine: the contract that every engine keeps.

A part computes named tensors from named tensors. Arrays are numpy arrays in C order, as they are on the wire; the
native form is the engine's own (a torch tensor on its device), so that measuring and chaining parts pays no conversion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import TensorError
from dnn_surgery.model.graph import ModelGraph

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What ran: engine and version, device (``cpu``, ``cuda:0``) with its name, and the number of threads."""

    name: str
    version: str
    device: str
    device_name: str
    threads: int


class Part(ABC):
    """A head, a tail or anything between: computes the tensors `outputs` from the tensors `inputs`."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether it runs at once. Engines that compile may have parts that do not yet; see :meth:`prepare`."""
        return True

    def prepare(self) -> None:
        """Compiles what running needs, if anything. Takes seconds and memory, so never while requests wait."""
        return

    @abstractmethod
    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Native tensors in, native tensors out. An output that is also an input is passed on."""

    def stack(self, frames: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """Arrays of several frames in, those of each out, computed at once although the graph's batch size is fixed.

        That it can be done, and with what result, is for the caller to try; see :attr:`Engine.stacks`.
        """
        raise NotImplementedError

    @abstractmethod
    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays in, arrays out (or the engine's own tensors, if one of them is given).

        Raises:
            TensorError: a tensor is missing, or its shape or datatype is not the graph's.
        """


class Engine(ABC):
    """Builds and runs the parts of one graph on one device. Thread-safe once built. A context manager."""

    graph: ModelGraph
    info: EngineInfo
    # Whether parts may be able to :meth:`Part.stack`.
    stacks = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self) -> None:
        """Gets ready for any cut that the engine serves without compiling; called once, before requests are taken."""
        return

    def request(self, part: Part) -> None:  # noqa: ARG002 - parts of most engines are always ready
        """Notes that a part is wanted but not ready; an engine that compiles does so in the background. No wait."""
        return

    def close(self) -> None:
        """Ends what the engine does in the background. May be called again."""
        return

    @abstractmethod
    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        """The part that computes `outputs` from `inputs`.

        Raises:
            TensorError: a tensor is unknown, missing or not needed (see :meth:`ModelGraph.between`).
        """

    @abstractmethod
    def example(self) -> dict[str, Any]:
        """The inputs that the graph was traced with, as native tensors."""

    @abstractmethod
    def to_native(self, name: str, array: Array) -> Any:
        """The tensor `name` as the engine holds it, in the memory order that it was traced with."""

    @abstractmethod
    def to_array(self, native: Any) -> Array:
        """A native tensor as a C-ordered array in main memory."""

    @abstractmethod
    def synchronize(self) -> None:
        """Waits until the device has done all work given to it."""


def array_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds a tensor's `dtype` (bfloat16 travels as uint16)."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def check_array(graph: ModelGraph, name: str, array: Array) -> None:
    """Compares an array with what the graph says of the tensor.

    Raises:
        TensorError: naming the tensor, what was expected and what came.
    """
    tensor = graph.tensors[name]
    if array.dtype != array_dtype(tensor.dtype):
        raise TensorError(f"tensor {name!r} has datatype {array.dtype}, expected {tensor.dtype}")
    matches = len(array.shape) == len(tensor.shape) and all(
        expected in (None, size) for expected, size in zip(tensor.shape, array.shape, strict=True)
    )
    if not matches:
        raise TensorError(f"tensor {name!r} has shape {list(array.shape)}, expected {show_shape(tensor.shape)}")


def show_shape(shape: Sequence[int | None]) -> str:
    """``[?, 3, 224, 224]``."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
