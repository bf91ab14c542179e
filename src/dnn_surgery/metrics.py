"""Metrics for Prometheus: what both sides share of it, and the HTTP endpoint that they are read from."""

from __future__ import annotations

from types import TracebackType

from prometheus_client import CollectorRegistry, start_http_server

from dnn_surgery.errors import AddressError

# Seconds: from a small tail on a fast processor to a frame on a slow link.
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Clients choose cuts, so what they choose must not fill the memory.
MAX_LABELS = 100


class MetricsEndpoint:
    """Answers ``GET /metrics`` while the `with` block runs; port 0 takes any free one, see `port`.

    Raises:
        AddressError: the address cannot be listened on.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise AddressError(f"cannot listen at {host}:{port} for metrics: {error.strerror or error}") from error
        self.host, self.port = host, int(self._server.server_address[1])

    def __enter__(self) -> MetricsEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class BoundedLabels:
    """Label values that others choose: the first so many as they are, the rest as ``other``."""

    def __init__(self, at_most: int = MAX_LABELS) -> None:
        self._at_most = at_most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The label that stands for the value."""
        if value not in self._known:
            if len(self._known) >= self._at_most:
                return "other"
            self._known.add(value)
        return value
