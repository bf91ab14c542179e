"""The flag --metrics: where Prometheus reads from."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from dnn_surgery.edge.result import FrameResult
    from dnn_surgery.metrics import MetricsEndpoint

DEFAULT_METRICS_PORT = 9464


def add_metrics_argument(parser: argparse._ActionsContainer) -> None:
    """--metrics."""
    parser.add_argument(
        "--metrics", metavar="[HOST]:PORT", help="answer Prometheus there (:9464 is this machine only; 0 any free port)"
    )


@contextmanager
def metrics_endpoint(registry: CollectorRegistry, where: str) -> Iterator[MetricsEndpoint]:
    """Answers Prometheus at the address while the `with` block runs.

    Raises:
        InputError: it is no address.
        AddressError: it cannot be listened on.
    """
    from dnn_surgery.metrics import MetricsEndpoint
    from dnn_surgery.protocol.address import parse_address

    address = parse_address(where, default_port=DEFAULT_METRICS_PORT)
    with MetricsEndpoint(registry, address.host, address.port) as endpoint:
        yield endpoint


def counted(results: Iterable[FrameResult], where: str | None, whole_s: float | None) -> Iterator[FrameResult]:
    """Passes results on; with an address they are counted there until they end.

    `whole_s` is what a frame takes on this device alone.
    """
    if where is None:
        yield from results
        return
    from prometheus_client import CollectorRegistry

    from dnn_surgery.edge.metrics import EdgeMetrics

    registry = CollectorRegistry()
    count = EdgeMetrics(registry, whole_s=whole_s)
    with metrics_endpoint(registry, where):
        for result in results:
            count(result)
            yield result
