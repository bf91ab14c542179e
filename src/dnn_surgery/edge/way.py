"""The way of one frame: what runs here, what is sent and how, and how long the cloud may take for the rest.

Each frame has its own, so the cut may change from one frame to the next. Parts are built beside the frames, in a
thread that does nothing else; a frame only ever takes what is ready.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dnn_surgery.edge.controller import Loads
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.split import Head, Tail, cut_name
from dnn_surgery.planning import Plan

# A frame may take several times what was predicted (other work on either side) before the edge takes it back.
DEADLINE_FACTOR, LEAST_DEADLINE_S = 4.0, 1.0


@dataclass(frozen=True, eq=False)
class Parts:
    """Head and tail of one partition. Without a tail the edge cannot finish what it has sent.

    `name` is what people call the cut, `edge` the layers that run here, `outputs` the model's.
    """

    name: str
    edge: tuple[str, ...]
    outputs: tuple[str, ...]
    head: Head
    tail: Tail | None

    @property
    def sends(self) -> bool:
        """Whether anything is left for the cloud."""
        return bool(self.head.tensors.remaining)

    @property
    def are_ready(self) -> bool:
        """Whether both run at once, without compiling."""
        tail = self.tail.part if self.tail is not None else None
        return self.head.part.is_ready and (tail is None or tail.is_ready)

    def request(self, engine: Engine) -> None:
        """Has the engine compile what is not ready, in the background."""
        for part in (self.head.part, self.tail.part if self.tail is not None else None):
            if part is not None and not part.is_ready:
                engine.request(part)


@dataclass(frozen=True, eq=False)
class Way:
    """How one frame goes. `obstacle` says why the cloud has no part in it although it should have. `predicted` is what
    it may cost, with the sides as loaded as `loads` says.

    `deadline_s` is how long the cloud may take, from the moment on at which the link begins with the frame.
    """

    parts: Parts
    codecs: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 10.0
    predicted: Plan | None = None
    obstacle: str | None = None
    loads: Loads = field(default_factory=Loads)

    @property
    def sends(self) -> bool:
        """Whether the frame goes to the cloud."""
        return self.parts.sends and self.obstacle is None


def deadline_of(plan: Plan) -> float:
    """The seconds that the cloud may take for a frame with this prediction."""
    return max(LEAST_DEADLINE_S, DEADLINE_FACTOR * plan.latency_s)


class Ways:
    """Parts by partition, each built once. Thread-safe; a context manager.

    Args:
        engine: what runs them.
        memory_bytes: how many bytes of weights the edge may hold; below the whole model it cannot finish frames.
    """

    def __init__(self, engine: Engine, *, memory_bytes: float | None = None) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._built: dict[tuple[str, ...], Parts] = {}
        self._asked: set[tuple[str, ...]] = set()
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False
        self.model_bytes = sum(layer.param_bytes for layer in engine.graph.layers)
        self.can_finish = memory_bytes is None or self.model_bytes <= memory_bytes

    def build(self, edge: Iterable[str]) -> Parts:
        """The parts of this partition, built and compiled now if they are not yet: not for while frames wait."""
        key = tuple(edge)
        with self._lock:
            found = self._built.get(key)
        if found is None:
            found = self._make(key)
            with self._lock:
                found = self._built.setdefault(key, found)
        found.head.part.prepare()
        if found.tail is not None and found.tail.part is not None:
            found.tail.part.prepare()
        return found

    def get(self, edge: tuple[str, ...]) -> Parts:
        """Parts that :meth:`is_ready` called ready."""
        with self._lock:
            return self._built[edge]

    def is_ready(self, edge: tuple[str, ...]) -> bool:
        """Whether a frame could take this partition now. If not, it is built in the background; no wait."""
        with self._lock:
            found = self._built.get(edge)
            if found is None:
                self._ask(edge)
                return False
        if found.are_ready:
            return True
        found.request(self._engine)
        return False

    def wait(self) -> None:
        """Waits until all that was asked for so far is built."""
        thread = self._thread
        if thread is not None:
            thread.submit(lambda: None).result()

    def close(self) -> None:
        """Ends the thread. May be called again."""
        with self._lock:
            self._closed, thread, self._thread = True, self._thread, None
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)

    def _ask(self, edge: tuple[str, ...]) -> None:
        if self._closed or edge in self._asked:
            return
        self._asked.add(edge)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dnn-surgery-ways")
        self._thread.submit(self._build_later, edge)

    def _build_later(self, edge: tuple[str, ...]) -> None:
        parts = self._make(edge)
        with self._lock:
            self._built.setdefault(edge, parts)

    def _make(self, edge: tuple[str, ...]) -> Parts:
        engine = self._engine
        tail = Tail(engine, edge, prepare=False) if self.can_finish else None
        graph = engine.graph
        return Parts(cut_name(graph, edge), edge, graph.outputs, Head(engine, edge, prepare=False), tail)
