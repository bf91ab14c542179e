"""The small network on an engine that a test can hold back, fail and count."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from dnn_surgery.execution.engine import Part
from dnn_surgery.execution.torch_engine import TorchEngine
from tests.cloud.network import make_graph


class GatedEngine(TorchEngine):
    """Building waits for `building`, running for `running`; `failure` is raised in place of a run's result.

    `built` and `ran` count; `begun` is released once for each run that has begun.
    """

    def __init__(self) -> None:
        super().__init__(make_graph(), device="cpu", threads=1)
        self.building, self.running = threading.Event(), threading.Event()
        self.building.set()
        self.running.set()
        self.begun = threading.Semaphore(0)
        self.failure: Exception | None = None
        self.built = self.ran = 0

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        self.built += 1
        self.building.wait()
        return _GatedPart(self, super().part(inputs, outputs))


class _GatedPart(Part):
    def __init__(self, engine: GatedEngine, part: Part) -> None:
        self.inputs, self.outputs = part.inputs, part.outputs
        self._engine, self._part = engine, part

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        return self._part.run(tensors)

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        self._engine.ran += 1
        self._engine.begun.release()
        self._engine.running.wait()
        if self._engine.failure is not None:
            raise self._engine.failure
        return self._part(tensors)
