"""Starts and stops the Ray Serve application, on a cluster that is there or on this machine."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dnn_surgery.cloud.listening import check_listen
from dnn_surgery.cloud.ray_replica import Replica, ReplicaOptions
from dnn_surgery.errors import InputError
from dnn_surgery.protocol.address import Address

APPLICATION = "dnn-surgery"

# One request runs in a replica at a time. With more than two for each on average another replica is worth it.
_ONGOING_PER_REPLICA = 2

_REGISTER = "dnn_surgery.cloud.ray_replica.register"

# Read by Ray's processes when they start: its own limits are 2 GiB in the proxy and 4 MiB on the way to a replica.
_PROXY_LIMIT, _REPLICA_LIMIT = "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"
_ENVELOPE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Scale:
    """So many replicas, Ray decides in between; each takes `cpus` (a whole number is also its number of threads).

    Raises:
        InputError: no number, or the most are fewer than the least.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise InputError(f"there must be 1 replica or more, and no fewer at most: got {self.least}:{self.most}")


def parse_scale(text: str) -> Scale:
    """``2``: two replicas; ``1:4``: one to four.

    Raises:
        InputError: it is neither.
    """
    least, colon, most = text.partition(":")
    if not least.isdecimal() or (colon and not most.isdecimal()):
        raise InputError(f"cannot read {text!r} as a number of replicas: expected something like 2 or 1:4")
    return Scale(int(least), int(most) if colon else int(least))


class RayServer:
    """Serves while the `with` block runs. Where RAY_ADDRESS names a cluster it runs there, else on this machine.

    Args:
        options: of every replica. scale: how many.
        port: of the gRPC ingress; Ray listens on every address of every node that has a proxy.
        insecure: allows that; there is no TLS, see docs/ray.md for what stands in front.

    Raises:
        InputError: `insecure` is not given, or Ray is not installed.
        AddressError: the port is in use.
    """

    def __init__(self, options: ReplicaOptions, *, port: int, insecure: bool, scale: Scale | None = None) -> None:
        self._options, self._scale = options, scale or Scale()
        everywhere = Address("0.0.0.0", port or _free_port())  # noqa: S104 - it is what Ray does, and is refused
        if not insecure:
            raise InputError(
                "Ray's ingress has no TLS and listens on every address: close its port to all but a proxy that has TLS "
                "(docs/ray.md), and give --insecure"
            )
        if "RAY_ADDRESS" not in os.environ:
            check_listen(everywhere)
        self.port = everywhere.port
        self._ray, self._serve = _import()
        self._ours = False

    @property
    def address(self) -> str:
        """Where this machine reaches it."""
        return str(Address("127.0.0.1", self.port))

    def __enter__(self) -> RayServer:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._ours = not self._ray.is_initialized()
        if self._ours:
            limit_bytes = str(self._options.max_message_bytes + _ENVELOPE_BYTES)
            os.environ[_PROXY_LIMIT] = os.environ[_REPLICA_LIMIT] = limit_bytes
            self._ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
        self._serve.start(
            http_options=self._serve.config.HTTPOptions(host="127.0.0.1", port=_free_port()),
            grpc_options=self._serve.config.gRPCOptions(
                port=self.port, grpc_servicer_functions=[_REGISTER], enable_reflection=False
            ),
        )
        # Without a route the gRPC ingress would not know it either; HTTP is on loopback, and finds nothing to call.
        self._serve.run(self._application(), name=APPLICATION, route_prefix="/")

    def _application(self) -> Any:
        scale = self._scale
        settings: dict[str, Any] = {"num_replicas": scale.least}
        if scale.most > scale.least:
            settings = {
                "autoscaling_config": {
                    "min_replicas": scale.least,
                    "max_replicas": scale.most,
                    "target_ongoing_requests": _ONGOING_PER_REPLICA,
                }
            }
        deployment = self._serve.deployment(
            Replica,
            name="tails",
            # What is beyond it waits in the proxy, unseen by the queue that is fair and knows hints.
            max_ongoing_requests=self._options.limits.calls,
            ray_actor_options={"num_cpus": scale.cpus},
            health_check_period_s=5,
            graceful_shutdown_timeout_s=10,
            **settings,
        )
        return deployment.bind(self._options)

    def stop(self) -> None:
        """Takes the application down; Ray too, where it was started here. May be called again."""
        if not self._ray.is_initialized():
            return
        self._serve.delete(APPLICATION)
        if self._ours:
            self._serve.shutdown()
            self._ray.shutdown()


def _import() -> tuple[Any, Any]:
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise InputError("--ray needs Ray Serve: pip install 'dnn-surgery[ray]'") from error
    return ray, serve


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
