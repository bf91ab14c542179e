"""An engine that computes nothing and moves a clock by exactly what each thing is said to cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dnn_surgery.execution.engine import Array, Engine, EngineInfo, Part
from dnn_surgery.model.graph import Layer, ModelGraph, Tensor


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Native:
    name: str


@dataclass(frozen=True)
class NoProgram:
    kind: str = "clocked"

    def parameter_digest(self, name: str) -> bytes:
        return name.encode()

    def operators_digest(self) -> bytes:
        return b""


def graph_of(layers: Mapping[str, Sequence[str]], outputs: Sequence[str]) -> ModelGraph:
    """Layers by name with the layers they read; each makes one tensor of 4 bytes. Without inputs: an input."""
    return ModelGraph(
        name="clocked",
        layers=tuple(Layer(name, tuple(inputs), (name,)) for name, inputs in layers.items()),
        tensors={name: Tensor(name, "float32", (1,), 4) for name in layers},
        inputs=tuple(name for name, inputs in layers.items() if not inputs),
        outputs=tuple(outputs),
        program=NoProgram(),
    )


@dataclass
class ClockedEngine(Engine):
    """`layer_s` by layer; `gain` is taken off a part that holds both layers of a pair, as a fused kernel would."""

    graph: ModelGraph
    layer_s: Mapping[str, float]
    call_s: float = 0.0
    leave_s: float = 0.0
    enter_s: float = 0.0
    gain: Mapping[tuple[str, str], float] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    info: EngineInfo = field(default_factory=lambda: EngineInfo("clocked", "1", "cpu", "cpu", 1))

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        return ClockedPart(self, inputs, outputs)

    def example(self) -> dict[str, Any]:
        return {name: Native(name) for name in self.graph.inputs}

    def to_native(self, name: str, array: Array) -> Any:
        assert array.dtype == np.float32
        self.clock.now += self.enter_s
        return Native(name)

    def to_array(self, native: Any) -> Array:
        self.clock.now += self.leave_s
        return np.zeros(1, np.float32)

    def synchronize(self) -> None:
        pass


class ClockedPart(Part):
    def __init__(self, engine: ClockedEngine, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.engine, self.inputs, self.outputs = engine, tuple(inputs), tuple(outputs)
        names = {layer.name for layer in engine.graph.between(inputs, outputs)}
        gain = sum(seconds for pair, seconds in engine.gain.items() if names.issuperset(pair))
        self.seconds = engine.call_s + sum(engine.layer_s[name] for name in names) - gain

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        assert all(tensors[name] == Native(name) for name in self.inputs)
        self.engine.clock.now += self.seconds
        return {name: Native(name) for name in self.outputs}

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        made = self.run({name: self.engine.to_native(name, tensors[name]) for name in self.inputs})
        return {name: self.engine.to_array(native) for name, native in made.items()}
