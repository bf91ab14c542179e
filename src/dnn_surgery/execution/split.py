"""Head and tail of a cut, as callables from named tensors to named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine, Part
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph


class HasEdge(Protocol):
    """Anything that says which layers run at the edge, such as a Plan."""

    @property
    def edge(self) -> tuple[str, ...]:
        """Layer names."""


@dataclass(frozen=True)
class CutTensors:
    """The tensors of a cut: `sent` cross it; `finished` are outputs that the head makes; `remaining` are the tail's."""

    sent: tuple[str, ...]
    finished: tuple[str, ...]
    remaining: tuple[str, ...]


def cut_tensors(graph: ModelGraph, edge: Iterable[str]) -> CutTensors:
    """What crosses the cut after the layers `edge`.

    Raises:
        ModelError: `edge` is not down-closed.
    """
    inside = set(edge)
    finished = tuple(tensor for tensor in graph.outputs if graph.producer[tensor].name in inside)
    remaining = tuple(tensor for tensor in graph.outputs if tensor not in finished)
    return CutTensors(graph.boundary(inside), finished, remaining)


def cut_name(graph: ModelGraph, edge: Iterable[str]) -> str:
    """What people call a cut: what is sent; ``edge`` if nothing is, ``cloud`` if only the model's inputs are."""
    sent = cut_tensors(graph, edge).sent
    if not sent:
        return "edge"
    if set(sent) <= set(graph.inputs):
        return "cloud"
    return " + ".join(sent)


class Head:
    """Runs the edge's layers: model inputs in, boundary tensors and finished outputs out.

    Compiled at once where the engine compiles; without `prepare` that is left to the caller (see :class:`Part`).
    """

    def __init__(self, engine: Engine, edge: Iterable[str], *, prepare: bool = True) -> None:
        self.tensors = cut_tensors(engine.graph, edge)
        self.outputs = tuple(dict.fromkeys((*self.tensors.sent, *self.tensors.finished)))
        # An input that no edge layer reads is passed on as it is; the part takes those that something needs.
        self.inputs = engine.graph.inputs
        needed = needed_inputs(engine.graph, self.outputs)
        self.part: Part = engine.part(needed, self.outputs)
        if prepare:
            self.part.prepare()

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Boundary tensors and finished outputs by name. Errors as :meth:`Part.__call__`."""
        return self.part(tensors)


class Tail:
    """Runs the cloud's layers: what the head gave in, all outputs of the model out. `prepare`: as for a head."""

    def __init__(self, engine: Engine, edge: Iterable[str], *, prepare: bool = True) -> None:
        self.tensors = cut_tensors(engine.graph, edge)
        self.inputs, self.outputs = self.tensors.sent, engine.graph.outputs
        self.part = engine.part(self.inputs, self.tensors.remaining) if self.tensors.remaining else None
        if self.part is not None and prepare:
            self.part.prepare()

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The model's outputs by name; those that the head made are passed on. Errors as :meth:`Part.__call__`."""
        made = self.part(tensors) if self.part else {}
        return {name: made[name] if name in made else tensors[name] for name in self.outputs}


def split(
    graph: ModelGraph,
    plan: HasEdge | None = None,
    *,
    cut: str | Iterable[str] | None = None,
    engine: Engine | None = None,
) -> tuple[Head, Tail]:
    """Head and tail, with ``tail(head(x))`` equal to the unsplit model's ``x``.

    Args:
        graph: the model.
        plan: which layers run at the edge; or
        cut: a layer (or several): it and all it needs run at the edge, the rest in the cloud.
        engine: what runs both; torch on this machine by default.

    Raises:
        InputError: neither or both of `plan` and `cut` are given.
        ModelError: a layer is unknown, or the plan is no partition.

    Example:
        >>> head, tail = split(graph, cut="features.4")
        >>> tail(head({"picture": picture}))
    """
    if (plan is None) == (cut is None):
        raise InputError("split needs either a plan or cut=LAYER")
    edge = plan.edge if plan is not None else graph.edge_layers(cut)  # type: ignore[arg-type]
    engine = engine or make_engine(graph)
    return Head(engine, edge), Tail(engine, edge)


def needed_inputs(graph: ModelGraph, outputs: Iterable[str]) -> tuple[str, ...]:
    """The model's inputs that these tensors depend on."""
    seen, queue = set[str](), list(outputs)
    while queue:
        tensor = queue.pop()
        if tensor not in seen:
            seen.add(tensor)
            queue.extend(graph.producer[tensor].inputs)
    return tuple(name for name in graph.inputs if name in seen)
