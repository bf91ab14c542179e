"""The protocol's calls on a grpc.aio server: convert, ask the data plane, convert back. Nothing is decided here.

bytes --parse--> record --DataPlane--> record --serialise--> bytes
              any error --status--> gRPC status, one line
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from dnn_surgery.errors import SurgeryError, UnreachableError
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.dataplane import DataPlane, TensorDescription
from dnn_surgery.protocol.datatypes import to_datatype
from dnn_surgery.protocol.messages import decode_request, encode_reply
from dnn_surgery.protocol.status import error_metadata, to_status
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.stubs import surgery_pb2 as own
from dnn_surgery.protocol.wire import PROBE_PAYLOAD_FIELD, split

logger = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
# Answered to the last, so that whoever balances load sees that the server is alive and takes nothing more.
_HEALTH = (methods.SERVER_LIVE, methods.SERVER_READY)

# Small enough for a slow link's deadline and for any limit on messages, large enough that round trips do not count.
BUNDLE_PIECE_BYTES = 512 * 2**10

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer:
    """Both services over one data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._draining = False
        self._under_way = 0
        self._idle = asyncio.Event()

    async def drain(self, *, grace_s: float) -> None:
        """Refuses new calls from now on, and waits at most `grace_s` for those under way."""
        self._draining = True
        if self._under_way:
            self._idle.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_s)

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What a grpc.aio server registers."""
        answers: tuple[tuple[methods.Method[Any, Any], Answer], ...] = (
            (methods.SERVER_LIVE, self._server_live),
            (methods.SERVER_READY, self._server_ready),
            (methods.MODEL_READY, self._model_ready),
            (methods.SERVER_METADATA, self._server_metadata),
            (methods.MODEL_METADATA, self._model_metadata),
            (methods.MODEL_CONFIG, self._model_config),
            (methods.MODEL_INFER, self._model_infer),
            (methods.CLOUD_PROFILE, self._cloud_profile),
            (methods.BUNDLE, self._bundle),
            (methods.PROBE, self._probe),
        )
        return tuple(
            grpc.method_handlers_generic_handler(
                service,
                {
                    method.name: grpc.unary_unary_rpc_method_handler(self._guarded(method, answer))
                    for method, answer in answers
                    if method.service == service
                },
            )
            for service in (methods.INFERENCE_SERVICE, methods.SURGERY_SERVICE)
        )

    async def _server_live(self, data: bytes) -> bytes:
        methods.parse(oip.ServerLiveRequest, data)
        return oip.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, data: bytes) -> bytes:
        methods.parse(oip.ServerReadyRequest, data)
        return oip.ServerReadyResponse(ready=not self._draining).SerializeToString()

    async def _model_ready(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelReadyRequest, data)
        self._plane.model(request.name, request.version)
        return oip.ModelReadyResponse(ready=True).SerializeToString()

    async def _server_metadata(self, data: bytes) -> bytes:
        methods.parse(oip.ServerMetadataRequest, data)
        server = self._plane.server()
        return oip.ServerMetadataResponse(
            name=server.name, version=server.version, extensions=server.extensions
        ).SerializeToString()

    async def _model_metadata(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelMetadataRequest, data)
        model = self._plane.model(request.name, request.version)
        return oip.ModelMetadataResponse(
            name=model.name,
            versions=model.versions,
            platform=model.platform,
            inputs=[_metadata(tensor) for tensor in model.inputs],
            outputs=[_metadata(tensor) for tensor in model.outputs],
        ).SerializeToString()

    async def _model_config(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelConfigRequest, data)
        model = self._plane.model(request.name, request.version)
        config = oip.ModelConfig(
            name=model.name,
            backend=model.platform,
            input=[
                oip.ModelInput(name=tensor.name, data_type=_data_type(tensor), dims=_shape(tensor))
                for tensor in model.inputs
            ],
            output=[
                oip.ModelOutput(name=tensor.name, data_type=_data_type(tensor), dims=_shape(tensor))
                for tensor in model.outputs
            ],
        )
        return oip.ModelConfigResponse(config=config).SerializeToString()

    async def _model_infer(self, data: bytes) -> bytes:
        request = decode_request(data)
        return encode_reply(request, await self._plane.infer(request))

    async def _cloud_profile(self, data: bytes) -> bytes:
        request = methods.parse(own.CloudProfileRequest, data)
        profile = await self._plane.profile(request.model_name, request.fingerprint or None)
        return own.CloudProfileReply(profile_json=profile).SerializeToString()

    async def _bundle(self, data: bytes) -> bytes:
        request = methods.parse(own.BundleRequest, data)
        file = await self._plane.bundle(request.model_name, request.fingerprint or None)
        piece = await asyncio.to_thread(file.read, request.offset, BUNDLE_PIECE_BYTES)
        return own.BundleReply(
            model_name=file.model_name,
            fingerprint=file.fingerprint,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            data=piece,
        ).SerializeToString()

    async def _probe(self, data: bytes) -> bytes:
        started_s = time.perf_counter()
        received_bytes = sum(len(payload) for payload in split(data, PROBE_PAYLOAD_FIELD).raw)
        server_s = time.perf_counter() - started_s
        return own.ProbeReply(received_bytes=received_bytes, server_s=server_s).SerializeToString()

    def _guarded(
        self, method: methods.Method[Any, Any], answer: Answer
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """The call, with every error turned into a status: none ends the server or shows a client a traceback."""

        async def call(data: bytes, context: Context) -> bytes:
            failure: Exception
            self._under_way += 1
            try:
                if self._draining and method not in _HEALTH:
                    raise UnreachableError("the server is stopping")
                if method is methods.MODEL_INFER and _wants_acknowledgement(context):
                    await context.send_initial_metadata(((methods.ACKNOWLEDGED, "1"),))
                return await answer(data)
            except SurgeryError as error:
                failure = error
            except Exception as error:
                # Whatever one request provokes must not reach other clients.
                logger.exception("%s failed", method.path)
                failure = error
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
            code, details = to_status(failure)
            await context.abort(code, details, error_metadata(failure))
            raise AssertionError("abort returned")

        return call


def _wants_acknowledgement(context: Context) -> bool:
    """Whether the client asks to be told when its request is here: it pays one more small frame for that."""
    return any(key == methods.ACKNOWLEDGE for key, _ in context.invocation_metadata() or ())


def _metadata(tensor: TensorDescription) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=to_datatype(tensor.dtype, tensor.name), shape=_shape(tensor)
    )


def _data_type(tensor: TensorDescription) -> str:
    return f"TYPE_{to_datatype(tensor.dtype, tensor.name)}"


def _shape(tensor: TensorDescription) -> list[int]:
    return [-1 if size is None else size for size in tensor.shape]
