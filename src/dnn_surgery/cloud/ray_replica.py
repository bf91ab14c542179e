"""The service as a Ray Serve deployment: the same handler as the plain server's, behind Ray's gRPC ingress.

    client -> Ray's proxy, one a node: no TLS, reads the body -> a replica -> RequestHandler -> TailService

What the proxy hands over is bytes, its methods are named by :func:`register`. A replica keeps no state between
requests, so any of them answers any request; each has a compute thread, a queue and a load report of its own. The
client's deadline does not come through the proxy, so a replica cannot leave out what is too late already; a client that
gives up ends its request there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

from dnn_surgery.cloud.call_log import CallLog
from dnn_surgery.cloud.gate import ClientGate, Quota
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.service import TailService
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import SurgeryError, TooLargeError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol import health, methods
from dnn_surgery.protocol.handler import HEALTH, RequestHandler
from dnn_surgery.protocol.status import error_metadata, to_status

BuildEngines = Callable[[], Sequence[Engine]]


@dataclass(frozen=True)
class ReplicaOptions:
    """What every replica is made of; it travels to their processes. See :class:`~dnn_surgery.cloud.server.CloudServer`.

    `build_engines` is called in each of them. `tokens` names a file that is at the same place on every node.
    """

    build_engines: BuildEngines
    profiles: tuple[Profile, ...] = ()
    limits: ServingLimits = field(default_factory=ServingLimits)
    batching: bool = False
    tokens: str | None = None
    quota: Quota = field(default_factory=Quota)
    max_message_bytes: int = 64 * 2**20


class Reply:
    """Bytes in the clothes of a protobuf message, which Ray serialises."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The bytes."""
        return self._data


def register(_: object, server: Any) -> None:
    """What Ray's proxy is given as a servicer function: both services and gRPC's health service, all as bytes."""

    def nobody(request: bytes, context: Any) -> bytes:
        raise NotImplementedError  # Ray puts its own in the place of it

    handler = grpc.unary_unary_rpc_method_handler(nobody)
    names: dict[str, dict[str, Any]] = {method.service: {} for method in methods.ALL}
    for method in methods.ALL:
        names[method.service][method.name] = handler
    for service, calls in (*names.items(), (health.SERVICE, {"Check": handler})):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, calls),))


class Replica:
    """One replica: Ray calls the method that has the call's name."""

    def __init__(self, options: ReplicaOptions) -> None:
        self.max_message_bytes = options.max_message_bytes
        self.service = TailService(
            list(options.build_engines()), profile=options.profiles, limits=options.limits, batching=options.batching
        )
        tokens = None if options.tokens is None else TokenFile(options.tokens)
        self._handler = RequestHandler(
            self.service,
            gate=ClientGate(tokens=tokens, quota=options.quota, limits=options.limits),
            observers=[CallLog()],
        )

    async def check_health(self) -> None:
        """Asked by Ray every few seconds; a replica that fails is replaced.

        Raises:
            RuntimeError: the compute thread has ended.
        """
        if not self.service.is_alive:
            raise RuntimeError("the compute thread has ended")

    def __del__(self) -> None:
        """Called by Ray before it ends a replica, once its requests are done."""
        self.service.close()

    async def Check(self, request: bytes, grpc_context: Any) -> Reply:  # noqa: N802 - the protocol's name
        """grpc.health.v1, for load balancers."""
        try:
            return Reply(health.answer(self._handler, request))
        except SurgeryError as error:
            return _failed(grpc_context, error)

    async def answer(self, path: str, request: bytes, context: Any) -> Reply:
        """Answers a call; every error becomes a status, as in the plain server."""
        try:
            if len(request) > self.max_message_bytes:
                raise TooLargeError(
                    f"the message of {len(request)} bytes is larger than max ({self.max_message_bytes})"
                )
            with ExitStack() as stack:
                client = ""
                if path not in HEALTH:
                    metadata = [(str(key).lower(), value) for key, value in context.invocation_metadata()]
                    client = stack.enter_context(self._handler.gate.enter(metadata, peer=context.peer()))
                return Reply(await self._handler.answer(path, request, client))
        except Exception as error:  # noqa: BLE001 - whatever one request provokes must not reach other clients
            return _failed(context, error)


def _failed(context: Any, error: Exception) -> Reply:
    code, details = to_status(error)
    context.set_code(code)
    context.set_details(details)
    context.set_trailing_metadata(list(error_metadata(error)))
    return Reply(b"")


def _calls(path: str) -> Callable[..., Any]:
    async def call(self: Replica, request: bytes, grpc_context: Any) -> Reply:
        return await self.answer(path, request, grpc_context)

    call.__name__ = path.rpartition("/")[2]
    return call


for _method in methods.ALL:
    setattr(Replica, _method.name, _calls(_method.path))
