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

from dnn_surgery.errors import TensorError
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

    def known(name: str) -> bool:
        return name in ("", methods.INFERENCE_SERVICE, *handler.plane.models)

    async def check(data: bytes, context: Context) -> bytes:
        name = await _name(data, context)
        if not known(name):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {name!r}")
        return NOT_SERVING if handler.draining.is_set() else SERVING

    async def watch(data: bytes, context: Context) -> AsyncIterator[bytes]:
        name = await _name(data, context)
        if not known(name):
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


async def _name(data: bytes, context: Context) -> str:
    try:
        names = split(data, _SERVICE_FIELD).raw
        return bytes(names[-1]).decode() if names else ""
    except (TensorError, UnicodeDecodeError):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "malformed HealthCheckRequest")
        raise AssertionError("abort returned") from None
