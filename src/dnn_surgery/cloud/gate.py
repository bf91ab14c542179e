"""Who may ask, and how much: bearer tokens, certificates, quotas and the number of calls, for any server's handlers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import BusyError, InputError, UnauthenticatedError
from dnn_surgery.protocol.gate import Gate, Metadata

_BEARER = "bearer "

# A client that was silent for so long is forgotten when there are too many.
_SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What one client may: requests and bytes a second, of which a burst of `burst_s` seconds' worth may come at once.

    Raises:
        InputError: a rate that is not positive.
    """

    requests_hz: float | None = None
    bytes_per_s: float | None = None
    burst_s: float = 2.0

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests_hz), ("bytes", self.bytes_per_s)):
            if value is not None and not value > 0:
                raise InputError(f"the quota of {name} a second must be positive, got {value:g}")


class _Bucket:
    """A token bucket that may go into debt: a request is let in while one unit is left, and then pays in full."""

    def __init__(self, rate: float, capacity: float, now_s: float) -> None:
        self.rate, self.capacity = rate, capacity
        self._level, self._at_s = capacity, now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until one unit is left; 0 if it is."""
        self._level = min(self.capacity, self._level + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        return 0.0 if self._level >= 1 else (1 - self._level) / self.rate + 1e-3

    def take(self, amount: float) -> None:
        """Pays."""
        self._level -= amount


class _Client:
    """What is remembered of a client: calls under way, when it was seen, what is left of its quota."""

    def __init__(self, quota: Quota, now_s: float) -> None:
        self.calls, self.seen_s = 0, now_s
        self.requests = _bucket(quota.requests_hz, quota, now_s)
        self.bytes = _bucket(quota.bytes_per_s, quota, now_s)


def _bucket(rate: float | None, quota: Quota, now_s: float) -> _Bucket | None:
    return None if rate is None else _Bucket(rate, max(1.0, rate * quota.burst_s), now_s)


class ClientGate(Gate):
    """Knows clients by token, else by certificate, else by connection; keeps each within its quota. For one thread.

    Args:
        tokens: without a token of this file nobody gets in.
        quota: what each client may.
        limits: calls of one client at once; clients at once.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        tokens: TokenFile | None = None,
        quota: Quota = Quota(),
        limits: ServingLimits = ServingLimits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens, self._quota, self._limits, self._clock = tokens, quota, limits, clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    @contextmanager
    def enter(self, metadata: Metadata, *, peer: str, certificate_name: str | None = None) -> Iterator[str]:
        """See :meth:`Gate.enter`."""
        name = self._identify(metadata) or certificate_name or peer
        client = self._client(name)
        if client.calls >= self._limits.calls_per_client:
            raise BusyError(f"{name} has {client.calls} calls under way already")
        client.calls += 1
        try:
            yield name
        finally:
            client.calls -= 1

    def charge(self, name: str, size_bytes: int) -> None:
        """See :meth:`Gate.charge`."""
        client, now_s = self._client(name), self._clock()
        for bucket, unit in ((client.requests, "requests"), (client.bytes, "bytes")):
            if bucket is not None and (wait_s := bucket.wait_s(now_s)):
                raise BusyError(f"{name} is beyond its quota of {bucket.rate:g} {unit} a second", retry_after_s=wait_s)
        if client.requests is not None:
            client.requests.take(1)
        if client.bytes is not None:
            client.bytes.take(size_bytes)

    def _identify(self, metadata: Metadata) -> str | None:
        if self._tokens is None:
            return None
        said = [value for key, value in metadata if key == "authorization" and isinstance(value, str)]
        if not said:
            raise UnauthenticatedError("this server wants a token, and the request brings none")
        if not said[0].lower().startswith(_BEARER):
            raise UnauthenticatedError("the request's authorization is no bearer token")
        name = self._tokens.name_of(said[0][len(_BEARER) :].strip())
        if name is None:
            raise UnauthenticatedError("the request's token is none that this server knows")
        return name

    def _client(self, name: str) -> _Client:
        now_s = self._clock()
        client = self._clients.get(name)
        if client is None:
            self._make_room(now_s)
            client = self._clients[name] = _Client(self._quota, now_s)
        client.seen_s = now_s
        self._clients.move_to_end(name)
        return client

    def _make_room(self, now_s: float) -> None:
        """Drops the client that was silent longest, if there are too many."""
        if len(self._clients) < self._limits.clients:
            return
        name, oldest = next(iter(self._clients.items()))
        if oldest.calls or (self._metered and now_s - oldest.seen_s < _SILENT_S):
            raise BusyError(f"{len(self._clients)} clients are here already", retry_after_s=_SILENT_S / 6)
        del self._clients[name]

    @property
    def _metered(self) -> bool:
        """Whether forgetting a client would forget what it owes."""
        return self._quota.requests_hz is not None or self._quota.bytes_per_s is not None
