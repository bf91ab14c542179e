"""The frames between source and consumer: how many there may be, and in which order their answers come out."""

from __future__ import annotations

import threading
from collections import deque

from dnn_surgery.edge.frame import Taken


class Flow:
    """A queue of frames under way, in the order in which they were taken in. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[Taken] = deque()
        self._unanswered = 0
        self._ended = self._closed = False
        self.failure: Exception | None = None  # what ended the source, raised once all before it is answered

    def wait_for_room(self, limit: int) -> bool:
        """Waits until fewer than `limit` frames are unanswered; False once nobody wants answers any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._unanswered < limit or self._closed)
            return not self._closed

    def add(self, taken: Taken) -> None:
        """A frame was taken in."""
        with self._changed:
            self._frames.append(taken)
            self._unanswered += 1

    def done(self, taken: Taken) -> None:
        """The cloud has answered or failed, or the edge has answered."""
        with self._changed:
            taken.done = True
            self._changed.notify_all()

    def answered(self) -> None:
        """The frame that :meth:`oldest` gave last has its answer."""
        with self._changed:
            self._unanswered -= 1
            self._changed.notify_all()

    def end(self, failure: Exception | None) -> None:
        """No more frames are taken in."""
        with self._changed:
            self._ended, self.failure = True, failure
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody wants answers any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def oldest(self) -> Taken | None:
        """Waits until the oldest frame is done and takes it out; None after the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames[0].done if self._frames else self._ended)
            return self._frames.popleft() if self._frames else None
