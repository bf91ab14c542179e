"""What a run tells beside its results: a change, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something changed at `time_s` on the edge's clock: `kind` for machines, `text` (one line) for people.

    Kinds: ``cut`` (the next frames go another way), ``cloud-lost``, ``cloud-back``, ``budget`` (the data budget is used
    up, or there is a new one). `fields` is what machines may want to know of it.
    """

    kind: str
    text: str
    time_s: float
    fields: Mapping[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Tells nobody."""
