"""Heads and tails as ONNX files of their own, run by ONNX Runtime and compared with the unsplit graph once written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.onnx_folder import onnx_folder
from dnn_surgery.execution.onnx_reference import make_reference
from dnn_surgery.execution.onnx_session import default_threads, make_session, run_session
from dnn_surgery.execution.onnx_source import PartSource
from dnn_surgery.execution.split import cut_tensors, needed_inputs
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part that was written: the tensors it takes and makes."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class PartFiles:
    """Writes parts of one graph.

    Raises:
        InputError: no ONNX Runtime, or the graph has tensors that it does not take.
        ModelError: the graph cannot be exported, or the cache cannot be written.
    """

    def __init__(self, graph: ModelGraph, *, threads: int | None = None) -> None:
        self.graph = graph
        self._threads = threads or default_threads()
        self._source = PartSource(onnx_folder(graph))
        self._reference = make_reference(graph, self._source, threads=self._threads)

    def head(self, edge: Iterable[str], path: Path) -> PartFile | None:
        """The head of a cut; None where there is nothing to compute. What it would only pass on is no output of it."""
        tensors = cut_tensors(self.graph, edge)
        made = [name for name in dict.fromkeys((*tensors.sent, *tensors.finished)) if name not in self.graph.inputs]
        return self._write(needed_inputs(self.graph, made), made, path) if made else None

    def tail(self, edge: Iterable[str], path: Path) -> PartFile | None:
        """The tail of a cut; None where the head makes all outputs."""
        tensors = cut_tensors(self.graph, edge)
        return self._write(tensors.sent, tensors.remaining, path) if tensors.remaining else None

    def whole(self, path: Path) -> PartFile:
        """The unsplit model."""
        made = [name for name in self.graph.outputs if name not in self.graph.inputs]
        return self._write(needed_inputs(self.graph, made), made, path)

    def check(self, *parts: PartFile | None) -> float:
        """Runs parts one after the other on the example, each on what those before it made.

        Returns:
            The largest difference between a tensor that they made and the unsplit graph's, relative to its range.

        Raises:
            ModelError: it is beyond the engine's tolerance.
        """
        real = [part for part in parts if part is not None]
        made = [name for part in real for name in part.outputs]
        expected = self._reference((*self.graph.inputs, *dict.fromkeys(made)))
        held: dict[str, Array] = {name: expected[name] for name in self.graph.inputs}
        found: dict[str, float] = {}
        for part in real:
            # A part that stands alone begins with the unsplit graph's tensors.
            if missing := [name for name in part.inputs if name not in held]:
                held.update(self._reference(missing))
            results = self._run(part, held)
            held.update(results)
            found.update({name: deviation(array, expected[name]) for name, array in results.items()})
        worst = max(found, key=found.__getitem__)
        if not found[worst] <= TOLERANCE:
            raise ModelError(
                f"what was exported is no good: its {worst!r} is {found[worst]:.2g} of its range from the unsplit "
                f"graph's, more than the tolerance {TOLERANCE:.2g}"
            )
        return found[worst]

    def _write(self, inputs: Sequence[str], outputs: Sequence[str], path: Path) -> PartFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._source.save(inputs, outputs, path)
        return PartFile(path, tuple(inputs), tuple(outputs))

    def _run(self, part: PartFile, held: Mapping[str, Array]) -> dict[str, Array]:
        session = make_session(
            part.path.read_bytes(), part.path.parent, threads=self._threads, providers=["CPUExecutionProvider"]
        )
        return run_session(session, part.outputs, {name: held[name] for name in part.inputs})
