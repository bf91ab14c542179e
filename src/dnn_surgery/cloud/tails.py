"""Tails: what is left of the model behind a cut, built when first asked for and kept while in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import Future

from dnn_surgery.execution.engine import Engine, Part

DEFAULT_MAX_TAILS = 64

_Key = tuple[frozenset[str], frozenset[str]]


class Tails:
    """Tails of one engine by (given tensors, wanted tensors). Thread-safe.

    A tail that several requests ask for at once is built once; of more than `max_tails`, the least recently used goes.
    """

    def __init__(self, engine: Engine, *, max_tails: int = DEFAULT_MAX_TAILS) -> None:
        self._engine = engine
        self._max_tails = max_tails
        self._lock = threading.Lock()
        self._tails: OrderedDict[_Key, Future[Part]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tails)

    def check(self, given: Collection[str], wanted: Collection[str]) -> None:
        """Makes sure that there is such a tail, without building it.

        Raises:
            TensorError: a tensor is unknown, missing or not needed.
        """
        with self._lock:
            known = (frozenset(given), frozenset(wanted)) in self._tails
        if not known:
            self._engine.graph.between(given, wanted)

    def get(self, given: Collection[str], wanted: Collection[str]) -> Part:
        """The tail that computes `wanted` from `given`; the order of neither matters.

        Raises:
            TensorError: a tensor is unknown, missing or not needed.
        """
        key = (frozenset(given), frozenset(wanted))
        with self._lock:
            tail = self._tails.get(key)
            ours = tail is None
            if tail is None:
                tail = self._tails[key] = Future()
            self._tails.move_to_end(key)
            while len(self._tails) > self._max_tails:
                self._tails.popitem(last=False)
        if ours:
            self._build(key, tail)
        return tail.result()

    def _build(self, key: _Key, tail: Future[Part]) -> None:
        """Fills `tail`; one that cannot be built is forgotten again, and all who wait for it are told why."""
        try:
            inputs, outputs = (self._in_order(names) for names in key)
            tail.set_result(self._engine.part(inputs, outputs))
        except BaseException as error:  # noqa: BLE001 - it is not swallowed: result() raises it in every waiting thread
            with self._lock:
                if self._tails.get(key) is tail:
                    del self._tails[key]
            tail.set_exception(error)

    def _in_order(self, names: frozenset[str]) -> tuple[str, ...]:
        tensors = self._engine.graph.tensors
        known = [name for name in tensors if name in names]
        return (*known, *sorted(names.difference(known)))
