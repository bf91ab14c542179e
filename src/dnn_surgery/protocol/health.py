"""``grpc.health.v1``: what load balancers and Kubernetes ask, for the server and for each model by name.

Its two messages have one field each, so they are written by hand: stubs under another file name would collide with
those of ``grpcio-health-checking`` in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from dnn_surgery.errors import TensorError, UnknownModelError
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.handler import RequestHandler
from dnn_surgery.protocol.wire import split

SERVICE = "grpc.health.v1.Health"
_SERVICE_FIELD = 1

Context = grpc.aio.ServicerContext[Any, Any]


def _status(number: int) -> bytes:
    return bytes([1 << 3, number])


SERVING, NOT_SERVING, SERVICE_UNKNOWN = _status(1), _status(2), _status(3)


def handlers(handler: RequestHandler) -> grpc.GenericRpcHandler[Any, Any]:
    """What a grpc.aio server registers. Open to everyone: who asks for health has no token."""

    async def check(data: bytes, context: Context) -> bytes:
        try:
            return answer(handler, data)
        except UnknownModelError as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except TensorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        raise AssertionError("abort returned")

    async def watch(data: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            known = _is_known(handler, _name(data))
        except TensorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if not known:
            yield SERVICE_UNKNOWN
            await asyncio.Event().wait()  # the protocol keeps the stream open, for a service that comes later
        if not handler.draining.is_set():
            yield SERVING
            await handler.draining.wait()
        yield NOT_SERVING

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        },
    )


def answer(handler: RequestHandler, data: bytes) -> bytes:
    """The reply to a HealthCheckRequest.

    Raises:
        UnknownModelError: no service or model has the name that is asked for.
        TensorError: the request is malformed.
    """
    name = _name(data)
    if not _is_known(handler, name):
        raise UnknownModelError(f"no service {name!r}")
    return NOT_SERVING if handler.draining.is_set() else SERVING


def _is_known(handler: RequestHandler, name: str) -> bool:
    return name in ("", methods.INFERENCE_SERVICE, *handler.plane.models)


def _name(data: bytes) -> str:
    try:
        names = split(data, _SERVICE_FIELD).raw
        return bytes(names[-1]).decode() if names else ""
    except (TensorError, UnicodeDecodeError) as error:
        raise TensorError("malformed HealthCheckRequest") from error
