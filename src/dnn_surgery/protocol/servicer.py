"""The handler behind a grpc.aio server: metadata and bodies in, replies and statuses out.

Calls are unary on the wire; the server takes them as streams of one message, so that a caller is known before a byte of
its tensors is read, and an upload that does not come to an end is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import grpc
import grpc.aio

from dnn_surgery.errors import DeadlineError, SurgeryError, TensorError
from dnn_surgery.protocol import health, methods
from dnn_surgery.protocol.handler import HEALTH, RequestHandler
from dnn_surgery.protocol.status import error_metadata, to_status
from dnn_surgery.units import format_duration

Context = grpc.aio.ServicerContext[Any, Any]
Call = Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]

# A client's own deadline is usually far shorter; the slowest of the paper's links carries 2 MB in it.
DEFAULT_UPLOAD_TIMEOUT_S = 120.0


class Servicer:
    """What a grpc.aio server registers for a handler."""

    def __init__(self, handler: RequestHandler, *, upload_timeout_s: float = DEFAULT_UPLOAD_TIMEOUT_S) -> None:
        self._handler = handler
        self._upload_timeout_s = upload_timeout_s

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """Both services, and gRPC's health service."""
        services = (methods.INFERENCE_SERVICE, methods.SURGERY_SERVICE)
        return (
            *(
                grpc.method_handlers_generic_handler(
                    service,
                    {
                        method.name: grpc.stream_unary_rpc_method_handler(self._call(method.path))
                        for method in methods.ALL
                        if method.service == service
                    },
                )
                for service in services
            ),
            health.handlers(self._handler),
        )

    def _call(self, path: str) -> Call:
        """The call, with every error turned into a status: none ends the server or shows a client a traceback."""

        async def call(requests: AsyncIterator[bytes], context: Context) -> bytes:
            failure: Exception
            try:
                with ExitStack() as stack:
                    client = "" if path in HEALTH else self._enter(stack, path, context)
                    data = await self._read(requests)
                    if path == methods.MODEL_INFER.path and _wants_acknowledgement(context):
                        await context.send_initial_metadata(((methods.ACKNOWLEDGED, "1"),))
                    return await self._handler.answer(path, data, client, context.time_remaining())
            except Exception as error:  # noqa: BLE001 - whatever one request provokes must not reach other clients
                failure = error
            code, details = to_status(failure)
            await context.abort(code, details, error_metadata(failure))
            raise AssertionError("abort returned")

        return call

    def _enter(self, stack: ExitStack, path: str, context: Context) -> str:
        peer = context.peer()
        names = list(context.auth_context().get("x509_common_name") or ())
        certificate_name = names[0].decode(errors="replace") if names else None
        started_s = time.perf_counter()
        metadata = [(str(key), value) for key, value in context.invocation_metadata() or ()]
        try:
            client = stack.enter_context(
                self._handler.gate.enter(metadata, peer=peer, certificate_name=certificate_name)
            )
            if path == methods.MODEL_INFER.path:
                self._handler.plane.check_room(client)
        except SurgeryError as error:
            self._handler.note(path, certificate_name or peer, started_s, failure=error)
            raise
        return client

    async def _read(self, requests: AsyncIterator[bytes]) -> bytes:
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            if reading is not None:
                reading.cancel()

        # asyncio.wait_for would run the reading in a task of its own, for each request.
        reading = asyncio.current_task()
        timer = asyncio.get_running_loop().call_later(self._upload_timeout_s, expire)
        try:
            return await anext(requests)
        except StopAsyncIteration:
            raise TensorError("the call carries no message") from None
        except asyncio.CancelledError:
            if not expired:
                raise
            waited = format_duration(self._upload_timeout_s)
            raise DeadlineError(f"the request did not arrive within {waited}") from None
        finally:
            timer.cancel()


def _wants_acknowledgement(context: Context) -> bool:
    """Whether the client asks to be told when its request is here: it pays one more small frame for that."""
    return any(key == methods.ACKNOWLEDGE for key, _ in context.invocation_metadata() or ())
