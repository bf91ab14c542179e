"""The flags of `serve` beyond the model: who may come in, how much at once, and what is told of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.cloud.encryption import ServerTls


def add_serving_arguments(parser: argparse.ArgumentParser) -> None:
    """Security, limits, and operations."""
    from dnn_surgery.cli.logs import add_log_arguments
    from dnn_surgery.cli.metrics import add_metrics_argument

    security = parser.add_argument_group("who may come in")
    security.add_argument("--tls-cert", metavar="FILE", help="our certificate (PEM); with --tls-key")
    security.add_argument("--tls-key", metavar="FILE", help="its key (PEM)")
    security.add_argument("--client-ca", metavar="FILE", help="let in only clients whose certificate this one signed")
    security.add_argument("--token-file", metavar="FILE", help="let in only these: one name:token a line")
    security.add_argument("--insecure", action="store_true", help="listen beyond this machine without TLS")
    limits = parser.add_argument_group("how much at once")
    limits.add_argument("--max-queue", type=int, metavar="N", help="requests that may wait (default: 128)")
    limits.add_argument("--max-held", metavar="SIZE", help="bytes of requests in memory (default: 512MiB)")
    limits.add_argument("--max-message", metavar="SIZE", help="largest message (default: 64MiB)")
    limits.add_argument("--quota-requests", type=float, metavar="RATE", help="requests a second of each client")
    limits.add_argument("--quota-bytes", metavar="SIZE", help="bytes a second of each client, such as 2MB")
    limits.add_argument(
        "--batching",
        action="store_true",
        help="run requests of one cut together where that is faster; their last bits may change",
    )
    operations = parser.add_argument_group("operations")
    add_metrics_argument(operations)
    add_log_arguments(operations)


def server_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of :class:`CloudServer`, without those of the model.

    Raises:
        InputError: a value makes no sense, or a file cannot be read.
    """
    from dnn_surgery.cloud.gate import Quota
    from dnn_surgery.cloud.limits import ServingLimits
    from dnn_surgery.cloud.tokens import TokenFile
    from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES

    limits = ServingLimits()
    queued = limits.queued if arguments.max_queue is None else arguments.max_queue
    return {
        "tls": tls_of(arguments),
        "insecure": arguments.insecure,
        "tokens": TokenFile(arguments.token_file) if arguments.token_file else None,
        "quota": Quota(arguments.quota_requests, _size(arguments.quota_bytes)),
        "limits": ServingLimits(queued=queued, held_bytes=_size(arguments.max_held) or limits.held_bytes),
        "max_message_bytes": _size(arguments.max_message) or DEFAULT_MAX_MESSAGE_BYTES,
        "batching": arguments.batching,
    }


def tls_of(arguments: argparse.Namespace) -> ServerTls | None:
    """The server's certificate; None without one."""
    from dnn_surgery.cloud.encryption import ServerTls

    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        raise InputError("--tls-cert and --tls-key go together")
    if arguments.tls_cert is None:
        if arguments.client_ca is not None:
            raise InputError("--client-ca goes with --tls-cert and --tls-key")
        return None
    client_ca = Path(arguments.client_ca) if arguments.client_ca else None
    return ServerTls(Path(arguments.tls_cert), Path(arguments.tls_key), client_ca)


def _size(text: str | None) -> int | None:
    from dnn_surgery.units import parse_size

    return None if text is None else int(parse_size(text))
