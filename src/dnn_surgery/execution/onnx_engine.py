"""Runs parts of a graph with ONNX Runtime: graphs of ONNX files, and those traced from PyTorch, exported once.

    part --[1] compiled as a whole?--> one session
         --[2] a stretch of the chain?--> the sessions of its segments, one after the other
         --[3] else--> runs only once it is compiled

ONNX Runtime copies weights into each session. The chain holds the model once and serves every cut at a bottleneck
vertex; hot parts are compiled beside it, in the background and under a byte budget. Every session is compared with a
reference when it is built.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from dnn_surgery.errors import ModelError, TensorError
from dnn_surgery.execution.chain import Chain, make_chain, part_bytes
from dnn_surgery.execution.compiled import CompiledParts, Key
from dnn_surgery.execution.engine import Array, Engine, EngineInfo, Part, check_array
from dnn_surgery.execution.onnx_folder import onnx_folder
from dnn_surgery.execution.onnx_packing import is_worth_packing
from dnn_surgery.execution.onnx_reference import make_reference
from dnn_surgery.execution.onnx_session import choose_providers, default_threads, make_session, run_session, runtime
from dnn_surgery.execution.onnx_source import PartSource, serialised
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.segments import Segment

DEFAULT_BUDGET_BYTES = 256 * 2**20

# A part that ran so often on the chain is worth a session of its own.
HOT_RUNS = 8

ALIGNMENT_BYTES = 64


class OnnxEngine(Engine):
    """ONNX Runtime at its full optimisation.

    Args:
        graph: a graph of an ONNX file, or one traced from PyTorch.
        device: ``auto`` (CUDA where this ONNX Runtime has it, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, or a
            provider's name.
        providers: execution providers as ONNX Runtime spells them, instead of `device`.
        threads: threads within an operator; by default OMP_NUM_THREADS, or all processors of this process.
        budget_bytes: weights of parts that are compiled in the background.
        tolerance: how far a tensor may be from the reference, relative to its range.

    Raises:
        InputError: no ONNX Runtime, no such device, or the graph has tensors that it does not take.
        ModelError: the graph cannot be exported, or the cache cannot be written.
    """

    def __init__(
        self,
        graph: ModelGraph,
        *,
        device: str = "auto",
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        tolerance: float = TOLERANCE,
    ) -> None:
        ort = runtime()
        self.graph, self.tolerance = graph, tolerance
        self._providers = choose_providers(device, providers)
        first = self._providers[0] if isinstance(self._providers[0], str) else self._providers[0][0]
        self._threads = threads or default_threads()
        self.info = EngineInfo(
            name="onnxruntime",
            version=str(ort.__version__),
            device="cpu" if first == "CPUExecutionProvider" else first,
            device_name="cpu" if first == "CPUExecutionProvider" else first,
            threads=self._threads,
        )
        self.source = PartSource(onnx_folder(graph))
        self.chain: Chain = make_chain(graph)
        self.reference = make_reference(graph, self.source, threads=self._threads, chain=self.chain.segments)
        self._segments: dict[int, Any] = {}
        self.compiled = CompiledParts(budget_bytes=budget_bytes)
        self._shared: WeakValueDictionary[Key, Any] = WeakValueDictionary()
        self._lock = threading.Lock()
        self.deviations: dict[Key, float] = {}

    @property
    def largest_deviation(self) -> float:
        """The largest difference between a tensor that a session made from the example and the reference's."""
        return max(self.deviations.values(), default=0.0)

    def __enter__(self) -> OnnxEngine:
        return self

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> OnnxPart:
        """See :meth:`Engine.part`. Compiles nothing: a part may not be ready (see :meth:`Part.is_ready`)."""
        self.graph.between(inputs, outputs)
        return OnnxPart(self, tuple(inputs), tuple(outputs))

    def prepare(self) -> None:
        """Builds the chain: one session a segment."""
        for index, (segment, tensors) in enumerate(self.reference.walk()):
            if index not in self._segments:
                self._segments[index] = self._build(segment.inputs, segment.outputs, tensors)

    def request(self, part: Part) -> None:
        """See :meth:`Engine.request`."""
        key = (part.inputs, part.outputs)
        size = part_bytes(self.graph, part.inputs, part.outputs)
        self.compiled.request(key, size, lambda: self._build(*key))

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self.compiled.close()

    def example(self) -> dict[str, Array]:
        """See :meth:`Engine.example`."""
        return dict(self.reference(self.graph.inputs))

    def to_native(self, name: str, array: Array) -> Array:
        """See :meth:`Engine.to_native`."""
        check_array(self.graph, name, array)
        # numpy makes a row of a scalar here.
        array = np.ascontiguousarray(array).reshape(array.shape)
        # As in the torch engine: kernels choose by alignment, and parts of messages have none.
        return array.copy() if array.ctypes.data % ALIGNMENT_BYTES else array

    def to_array(self, native: Any) -> Array:
        """See :meth:`Engine.to_array`."""
        array: Array = native
        return array

    def synchronize(self) -> None:
        """See :meth:`Engine.synchronize`. A session returns when its work is done."""

    def segment(self, index: int) -> Any | None:
        """The session of a segment, once the chain is built."""
        return self._segments.get(index)

    def compile(self, key: Key) -> Any:
        """A session of its own for a part, shared with whoever holds one already. Blocks."""
        with self._lock:
            session = self._shared.get(key)
            if session is None:
                session = self._shared[key] = self._build(*key)
            return session

    def _build(
        self, inputs: Sequence[str], outputs: Sequence[str], reference: Mapping[str, Array] | None = None
    ) -> Any:
        made = tuple(name for name in outputs if name not in inputs)
        # Before the session is built, so that its weights and the reference's are never there at once.
        if reference is None:
            reference = self.reference((*inputs, *made))
        model = self.source.model(inputs, made)
        session = make_session(
            serialised(model),
            self.source.folder,
            threads=self._threads,
            providers=self._providers,
            shared=None if is_worth_packing(model.graph) else self.source.mapped(model),
        )
        results = session.run(list(made), {name: reference[name] for name in inputs})
        found = {name: deviation(value, reference[name]) for name, value in zip(made, results, strict=True)}
        worst = max(found, key=found.__getitem__)
        if not found[worst] <= self.tolerance:
            raise ModelError(
                f"ONNX Runtime's {worst!r} is {found[worst]:.2g} of its range from the reference, more than the "
                f"tolerance {self.tolerance:.2g}: use --engine torch, or another provider"
            )
        self.deviations[(tuple(inputs), tuple(outputs))] = found[worst]
        return session


class OnnxPart(Part):
    """See :class:`Part`. Native tensors are numpy arrays."""

    def __init__(self, engine: OnnxEngine, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.engine, self.inputs, self.outputs = engine, inputs, outputs
        self._made = tuple(name for name in outputs if name not in inputs)
        self._steps = engine.chain.steps(inputs, outputs)
        self._key: Key = (inputs, outputs)
        self._own: Any | None = None
        self._runs = 0

    @property
    def deviation(self) -> float | None:
        """How far this part, compiled as a whole, is from the reference; None while it is not compiled."""
        return self.engine.deviations.get(self._key)

    @property
    def is_ready(self) -> bool:
        """See :attr:`Part.is_ready`."""
        return not self._made or self._session() is not None or self._chain() is not None

    def prepare(self) -> None:
        """See :meth:`Part.prepare`. The session lives as long as the part."""
        if not self.is_ready:
            self._own = self.engine.compile(self._key)

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Part.run`. A part that is not ready is compiled first; a server asks `is_ready` before."""
        held = {name: tensors[name] for name in self.inputs}
        if self._made:
            session = self._session()
            chain = self._chain() if session is None else None
            if chain is not None:
                self._note_run()
                return self._run_chain(chain, held)
            if session is None:
                self.prepare()
                session = self._own
            held.update(run_session(session, self._made, held))
        return {name: held[name] for name in self.outputs}

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Part.__call__`."""
        if missing := [name for name in self.inputs if name not in tensors]:
            raise TensorError(f"missing tensors: {', '.join(missing)}")
        return self.run({name: self.engine.to_native(name, np.asarray(tensors[name])) for name in self.inputs})

    def _session(self) -> Any | None:
        return self._own if self._own is not None else self.engine.compiled.get(self._key)

    def _chain(self) -> list[tuple[Segment, Any]] | None:
        """The sessions of the stretch that this part is; None if it is none, or they are not all built."""
        if self._steps is None:
            return None
        found = [(self.engine.chain.segments[index], self.engine.segment(index)) for index in self._steps]
        return None if any(session is None for _, session in found) else found

    def _run_chain(self, chain: list[tuple[Segment, Any]], held: dict[str, Any]) -> dict[str, Any]:
        for segment, session in chain:
            held.update(run_session(session, segment.outputs, {name: held[name] for name in segment.inputs}))
        return {name: held[name] for name in self.outputs}

    def _note_run(self) -> None:
        self._runs += 1
        if self._runs == HOT_RUNS:
            self.engine.request(self)
