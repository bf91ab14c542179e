"""Rounds of a measurement: all layers, all segments, the whole and the conversions, in turn.

    a round:  layer layer layer ...  segment segment ...  whole  call  conversions
                |  on the tensors that the layers before them made

Each kind runs from the inputs to the outputs before the next one begins, so that every weight has left the caches as
much as it has in an inference. Rounds may be interleaved with whatever they are to be compared with.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dnn_surgery.execution.engine import Engine, Part
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import segments
from dnn_surgery.profiling.profile import LayerCost, Profile, TensorSize
from dnn_surgery.profiling.received import as_received
from dnn_surgery.profiling.scaling import Raw, scale, spread_of

Clock = Callable[[], float]

# Two rounds that differ by no more than this share took about as long.
SETTLED = 0.05

_Steps = Sequence[tuple[tuple[str, ...], Part]]


class Rounds:
    """Measures one graph on one engine, a round at a time.

    Args:
        engine: what runs the graph.
        inputs: named arrays to run it on; the traced example by default.
        clock: monotonic seconds.

    Raises:
        TensorError: `inputs` are not the model's.
    """

    def __init__(
        self, engine: Engine, *, inputs: Mapping[str, Any] | None = None, clock: Clock = time.perf_counter
    ) -> None:
        self.engine, self.clock = engine, clock
        graph = engine.graph
        if inputs is None:
            self.inputs = engine.example()
        else:
            self.inputs = {name: engine.to_native(name, array) for name, array in inputs.items()}
        self._whole = engine.part(graph.inputs, graph.outputs)
        self._nothing = engine.part(graph.inputs, graph.inputs)
        self._layers: _Steps = [
            ((layer.name,), engine.part(layer.inputs, layer.outputs)) for layer in graph.layers if layer.inputs
        ]
        chain = segments(graph)
        self._segments: _Steps = []
        if any(len(segment.layers) > 1 for segment in chain):
            self._segments = [(segment.layers, engine.part(segment.inputs, segment.outputs)) for segment in chain]
        for part in (self._whole, *(part for steps in (self._layers, self._segments) for _, part in steps)):
            part.prepare()
        self._last_read = {id(steps): _last_reads(steps) for steps in (self._layers, self._segments)}
        self.count = 0
        self.forget()

    def forget(self) -> None:
        """Drops what was measured so far, such as warm-up rounds, which it counts."""
        self.warmup = self.count
        self._times: dict[tuple[str, ...], list[float]] = {}
        self._conversions: dict[tuple[str, str], list[float]] = {}
        self._whole_s: list[float] = []
        self._call_s: list[float] = []

    @property
    def is_settled(self) -> bool:
        """Whether the last two rounds took about as long: caches are warm, the processor is at its clock rate."""
        last = self._whole_s[-2:]
        return len(last) < 2 or max(last) <= min(last) * (1 + SETTLED)

    def run(self) -> None:
        """One round."""
        self.count += 1
        self._pass(self._layers, convert=True)
        self._pass(self._segments, convert=False)
        self._whole_s.append(self._timed(lambda: self._whole.run(self.inputs))[0])
        self._call_s.append(self._timed(lambda: self._nothing.run(self.inputs))[0])

    def profile(self) -> Profile:
        """What the rounds since :meth:`forget` say."""
        graph, info = self.engine.graph, self.engine.info
        scaled = scale(
            Raw(
                layers={names[0]: times for names, times in self._times.items() if len(names) == 1},
                segments={names: times for names, times in self._times.items() if len(names) > 1},
                whole=self._whole_s,
                call=self._call_s,
            )
        )
        layers = tuple(
            LayerCost(
                name=layer.name,
                inputs=layer.inputs,
                outputs=tuple(self._size(graph, tensor) for tensor in layer.outputs),
                seconds=scaled.seconds.get(layer.name, 0.0),
                spread_s=scaled.spread_s.get(layer.name, 0.0),
                param_bytes=layer.param_bytes,
            )
            for layer in graph.layers
        )
        return Profile(
            model=graph.name,
            fingerprint=graph.fingerprint,
            layers=layers,
            outputs=graph.outputs,
            whole_s=scaled.whole_s,
            whole_spread_s=spread_of(self._whole_s),
            repeats=self.count - self.warmup,
            warmup=self.warmup,
            call_s=scaled.call_s,
            device={"name": info.device_name, "kind": info.device, "machine": machine_name()},
            engine={"name": info.name, "version": info.version, "threads": info.threads},
            versions={"python": platform.python_version(), "dnn-surgery": metadata.version("dnn-surgery")},
        )

    def _size(self, graph: ModelGraph, tensor: str) -> TensorSize:
        leave_s, enter_s = (
            statistics.median(times) if (times := self._conversions.get((tensor, way))) else 0.0
            for way in ("leave", "enter")
        )
        return TensorSize(tensor, graph.tensors[tensor].size_bytes, leave_s=leave_s, enter_s=enter_s)

    def _pass(self, steps: _Steps, *, convert: bool) -> None:
        tensors = dict(self.inputs)
        if convert:
            self._convert(tensors)
        for index, (names, part) in enumerate(steps):
            seconds, made = self._timed(lambda part=part: part.run(tensors))  # type: ignore[misc]
            # A segment of one layer was timed among the layers.
            if steps is self._layers or len(names) > 1:
                self._times.setdefault(names, []).append(seconds)
            if convert:
                self._convert(made)
            tensors.update(made)
            for tensor in self._last_read[id(steps)].get(index, ()):
                del tensors[tensor]  # keeps memory at what an inference needs

    def _convert(self, tensors: Mapping[str, Any]) -> None:
        """Times each tensor's way out of the engine and into it again."""
        for name, native in tensors.items():
            leave_s, array = self._timed(lambda native=native: self.engine.to_array(native))  # type: ignore[misc]
            received = as_received(array)
            enter_s, _ = self._timed(lambda name=name, array=received: self.engine.to_native(name, array))  # type: ignore[misc]
            self._conversions.setdefault((name, "leave"), []).append(leave_s)
            self._conversions.setdefault((name, "enter"), []).append(enter_s)

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        self.engine.synchronize()
        start = self.clock()
        made = work()
        self.engine.synchronize()
        return self.clock() - start, made


def _last_reads(steps: _Steps) -> dict[int, list[str]]:
    """The tensors that no step after this one reads."""
    last = {tensor: index for index, (_, part) in enumerate(steps) for tensor in part.inputs}
    found: dict[int, list[str]] = {}
    for tensor, index in last.items():
        found.setdefault(index, []).append(tensor)
    return found


def machine_name() -> str:
    """The board's name where it has one (a Raspberry Pi), else the processor's."""
    board = Path("/proc/device-tree/model")
    if board.exists():
        return board.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
