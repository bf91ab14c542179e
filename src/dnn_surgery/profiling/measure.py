"""Measures a model on this device: seconds of each layer and of the whole, in one interleaved run.

Layers are timed one after the other on the tensors that the layers before them made. Sums of single layers differ from
the whole (calls cost, fused kernels gain), so they are scaled to the measured whole. Medians, since other work on the
machine only ever adds time.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine, Part
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import Layer, ModelGraph
from dnn_surgery.profiling.profile import LayerCost, Profile, TensorSize

Clock = Callable[[], float]
Progress = Callable[[int, int], None]


def profile(
    graph: ModelGraph,
    inputs: Mapping[str, Any] | None = None,
    *,
    engine: Engine | None = None,
    repeats: int = 15,
    warmup: int = 3,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
) -> Profile:
    """What `graph` costs on this device.

    Args:
        graph: the model.
        inputs: named tensors to run it on; the traced example by default.
        engine: what runs it; torch with its own number of threads by default.
        repeats: rounds that count, each one run of every layer and one of the whole.
        warmup: rounds before them that do not.
        clock: monotonic seconds.
        progress: called with (rounds done, rounds in all) after each round.

    Raises:
        InputError: fewer than 1 repeat.
        TensorError: `inputs` are not the model's.
    """
    if repeats < 1 or warmup < 0:
        raise InputError(f"a profile needs at least 1 repeat and no negative warm-up, got {repeats} and {warmup}")
    engine = engine or make_engine(graph)
    native = engine.example() if inputs is None else {n: engine.to_native(n, value) for n, value in inputs.items()}
    rounds = _Rounds(graph, engine, clock)
    for done in range(warmup + repeats):
        if done == warmup:
            rounds.forget()
        rounds.run(native)
        if progress:
            progress(done + 1, warmup + repeats)
    whole_s = statistics.median(rounds.whole)
    medians = {name: statistics.median(times) for name, times in rounds.layers.items()}
    total = sum(medians.values())
    scale = whole_s / total if total > 0 else 0.0
    layers = tuple(
        _cost(graph, layer, medians.get(layer.name, 0.0) * scale, _spread(rounds.layers.get(layer.name, [])) * scale)
        for layer in graph.layers
    )
    return Profile(
        model=graph.name,
        fingerprint=graph.fingerprint,
        layers=layers,
        outputs=graph.outputs,
        whole_s=whole_s,
        whole_spread_s=_spread(rounds.whole),
        repeats=repeats,
        warmup=warmup,
        device={"name": engine.info.device_name, "kind": engine.info.device, "machine": _machine()},
        engine={"name": engine.info.name, "version": engine.info.version, "threads": engine.info.threads},
        versions={"python": platform.python_version(), "dnn-surgery": metadata.version("dnn-surgery")},
    )


class _Rounds:
    """Runs all layers and the whole, round by round, and keeps the times."""

    def __init__(self, graph: ModelGraph, engine: Engine, clock: Clock) -> None:
        self.engine, self.clock = engine, clock
        self.whole_part = engine.part(graph.inputs, graph.outputs)
        self.parts: list[tuple[Layer, Part]] = [
            (layer, engine.part(layer.inputs, layer.outputs)) for layer in graph.layers if layer.inputs
        ]
        readers = {tensor: layer.name for layer in graph.layers for tensor in layer.inputs}
        self.last_read: dict[str, list[str]] = {}
        for tensor, layer_name in readers.items():
            self.last_read.setdefault(layer_name, []).append(tensor)
        self.forget()

    def forget(self) -> None:
        """Drops what was measured so far."""
        self.layers: dict[str, list[float]] = {layer.name: [] for layer, _ in self.parts}
        self.whole: list[float] = []

    def run(self, inputs: Mapping[str, Any]) -> None:
        """One round."""
        tensors = dict(inputs)
        for layer, part in self.parts:
            seconds, made = self._timed(part, tensors)
            self.layers[layer.name].append(seconds)
            tensors.update(made)
            for tensor in self.last_read.get(layer.name, ()):
                del tensors[tensor]  # keeps memory at what an inference needs
        self.whole.append(self._timed(self.whole_part, inputs)[0])

    def _timed(self, part: Part, tensors: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        self.engine.synchronize()
        start = self.clock()
        made = part.run(tensors)
        self.engine.synchronize()
        return self.clock() - start, made


def _cost(graph: ModelGraph, layer: Layer, seconds: float, spread_s: float) -> LayerCost:
    sizes = tuple(TensorSize(tensor, graph.tensors[tensor].size_bytes) for tensor in layer.outputs)
    return LayerCost(layer.name, layer.inputs, sizes, seconds, spread_s, layer.param_bytes)


def _spread(times: list[float]) -> float:
    """The distance between the quartiles."""
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return high - low


def _machine() -> str:
    """The board's name where it has one (a Raspberry Pi), else the processor's."""
    board = Path("/proc/device-tree/model")
    if board.exists():
        return board.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
