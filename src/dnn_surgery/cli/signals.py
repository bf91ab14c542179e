"""Ending in good order when asked to by a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def until_signalled(on_signal: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets (and then calls `on_signal`); a second one has its usual effect.

    Outside the main thread, where Python handles no signals, the event is never set.
    """
    signalled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield signalled
        return
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def restore() -> None:
        for number, handler in before:
            signal.signal(number, handler)

    def note(_: int, __: object) -> None:
        signalled.set()
        restore()
        on_signal()

    for number, _ in before:
        signal.signal(number, note)
    try:
        yield signalled
    finally:
        restore()
