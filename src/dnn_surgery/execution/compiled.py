"""What is compiled in the background: hot parts, under a byte budget, least recently used out."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dnn_surgery.errors import SurgeryError

logger = logging.getLogger(__name__)

Key = tuple[tuple[str, ...], tuple[str, ...]]

# What waits to be compiled; a client that asks for ever other cuts must not fill the memory with its wishes.
MAX_WAITING = 8


class CompiledParts:
    """Sessions by part. Thread-safe; one thread compiles, from the first request on until :meth:`close`.

    Args:
        budget_bytes: the weights of all sessions kept here; a part that is larger alone is never compiled.
    """

    def __init__(self, *, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._waiting: set[Key] = set()
        self._failed: set[Key] = set()
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """The weights of what is kept now."""
        with self._lock:
            return sum(size for _, size in self._sessions.values())

    def get(self, key: Key) -> Any | None:
        """The session of a part, if it is compiled."""
        with self._lock:
            found = self._sessions.get(key)
            if found is None:
                return None
            self._sessions.move_to_end(key)
            return found[0]

    def request(self, key: Key, size_bytes: int, build: Callable[[], Any]) -> bool:
        """Has the part compiled in the background; whether it will be. Returns at once."""
        with self._lock:
            if self._closed or size_bytes > self.budget_bytes or key in self._failed:
                return False
            if key in self._sessions or key in self._waiting:
                return True
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.add(key)
            if self._thread is None:
                self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dnn-surgery-compile")
            self._thread.submit(self._compile, key, size_bytes, build)
        return True

    def wait(self) -> None:
        """Waits until all that was requested so far is compiled."""
        if self._thread is not None:
            self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """Ends the thread; what still waits is given up. May be called again."""
        with self._lock:
            self._closed, thread, self._thread = True, self._thread, None
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)

    def _compile(self, key: Key, size_bytes: int, build: Callable[[], Any]) -> None:
        try:
            # Room is made before, not after: memory never holds more than the budget.
            with self._lock:
                while (
                    self._sessions and sum(size for _, size in self._sessions.values()) + size_bytes > self.budget_bytes
                ):
                    self._sessions.popitem(last=False)
            session = build()
        except SurgeryError as error:
            logger.warning("cannot compile %s -> %s: %s", ", ".join(key[0]), ", ".join(key[1]), error)
            with self._lock:
                self._failed.add(key)
        else:
            with self._lock:
                self._sessions[key] = (session, size_bytes)
        finally:
            with self._lock:
                self._waiting.discard(key)
