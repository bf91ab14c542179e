"""Options of gRPC that both ends set on purpose."""

from __future__ import annotations

from dnn_surgery.protocol.address import Address

# The largest tensor of the paper's networks is 12.8 MB; gRPC's own limit of 4 MiB would refuse it.
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20

# How much of a stream a client may send before the server has read it. gRPC's own estimate of the link (BDP probing)
# begins at 64 KiB and holds a large tensor up: on loopback 12 MiB take 22 ms with it, 10 ms without, raw TCP 6 ms.
WINDOW_BYTES = 4 * 2**20

# A connection that does not get through its handshake (TLS, HTTP/2) is closed after so long.
HANDSHAKE_TIMEOUT_S = 10.0

# Calls of one connection at once; more wait at the client.
MAX_STREAMS = 128

Options = tuple[tuple[str, int], ...]


def _message_limits(max_message_bytes: int) -> Options:
    return (
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
    )


def client_options(address: Address, *, max_message_bytes: int) -> Options:
    """A channel that finds a restarted server within a second, on a connection of its own."""
    proxy: Options = (("grpc.enable_http_proxy", 0),) if address.loopback else ()
    return (
        *_message_limits(max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # The least that an attempt is given: TLS takes three round trips, and TCP itself asks again after a second.
        ("grpc.min_reconnect_backoff_ms", 3000),
        ("grpc.max_reconnect_backoff_ms", 500),
        # Otherwise channels to one address share a connection, and with it one client's backoff and flow control.
        ("grpc.use_local_subchannel_pool", 1),
        *proxy,
    )


def server_options(*, max_message_bytes: int, handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S) -> Options:
    """A server that is alone on its port: with SO_REUSEPORT a second one would silently take half of the requests."""
    return (
        *_message_limits(max_message_bytes),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.server_handshake_timeout_ms", round(1e3 * handshake_timeout_s)),
        # A device that vanished without a word frees what it held.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    )
