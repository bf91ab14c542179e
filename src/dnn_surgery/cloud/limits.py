"""How much a server takes on at once."""

from __future__ import annotations

from dataclasses import dataclass

from dnn_surgery.errors import InputError


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """Beyond these a request is refused with a hint when to come again; nothing grows.

    Args:
        queued: requests that wait for the compute thread.
        held_bytes: bytes of all requests that wait or run.
        calls: calls under way in the whole server, those included whose bodies are still arriving.
        calls_per_client: of these, calls of one client.
        clients: clients that are told apart; who was silent for a while makes room.
        tails: compiled tails kept of each model.
        batch: requests of one cut that run together, where batching is allowed.

    Raises:
        InputError: a limit below 1.
    """

    queued: int = 128
    held_bytes: int = 512 * 2**20
    calls: int = 1024
    calls_per_client: int = 256
    clients: int = 10_000
    tails: int = 64
    batch: int = 8

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise InputError(f"the limit {name} must be at least 1, got {getattr(self, name)}")
