"""One request from bytes to bytes, whatever server it came through: grpc.aio here, another engine's ingress elsewhere.

    with handler.gate.enter(metadata, peer=peer) as name:           [1] before the body is read
        reply = await handler.answer(method, data, name, remaining_s)

bytes --parse--> record --DataPlane--> record --serialise--> bytes                      [2]

[1] Who is it? [2] Nothing is decided here; every error is the project's own or a fault of the server. What happened is
told to the observers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnn_surgery.errors import SurgeryError, UnreachableError
from dnn_surgery.protocol import descriptions, methods
from dnn_surgery.protocol.dataplane import Caller, DataPlane
from dnn_surgery.protocol.gate import Gate
from dnn_surgery.protocol.messages import decode_request, encode_reply
from dnn_surgery.protocol.status import to_status
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.stubs import surgery_pb2 as own
from dnn_surgery.protocol.wire import PROBE_PAYLOAD_FIELD, split

logger = logging.getLogger(__name__)

# Answered to the last, so that whoever balances load sees that the server is alive and takes nothing more.
HEALTH = frozenset((methods.SERVER_LIVE.path, methods.SERVER_READY.path))

# Small enough for a slow link's deadline and for any limit on messages, large enough that round trips do not count.
BUNDLE_PIECE_BYTES = 512 * 2**10


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What became of a call. `status` is gRPC's name of it, ``OK`` or another.

    `cut` names the tensors that came, in order; `stages` are seconds: parse, queue, compute, serialise. Both are empty
    for calls other than inference, and where it was refused.
    """

    method: str
    client: str
    status: str
    elapsed_s: float
    bytes_up: int
    bytes_down: int = 0
    model: str = ""
    cut: tuple[str, ...] = ()
    batch: int = 0
    stages: tuple[tuple[str, float], ...] = ()
    error: str = ""


Observer = Callable[[CallRecord], None]
_Inference = tuple[str, tuple[str, ...], int, tuple[tuple[str, float], ...]]


class RequestHandler:
    """Answers the calls of both services over one data plane.

    Args:
        plane: computes.
        gate: who is let in; everyone by default.
        observers: told of every call that was answered or refused.
    """

    def __init__(self, plane: DataPlane, *, gate: Gate | None = None, observers: Sequence[Observer] = ()) -> None:
        self.plane = plane
        self.gate = gate or Gate()
        self._observers = tuple(observers)
        self._under_way = 0
        self._idle = asyncio.Event()
        self.draining = asyncio.Event()
        self._simple: dict[str, Callable[[bytes], bytes]] = {
            methods.SERVER_LIVE.path: self._server_live,
            methods.SERVER_READY.path: self._server_ready,
            methods.MODEL_READY.path: self._model_ready,
            methods.SERVER_METADATA.path: self._server_metadata,
            methods.MODEL_METADATA.path: self._model_metadata,
            methods.MODEL_CONFIG.path: self._model_config,
            methods.PROBE.path: _probe,
        }

    async def drain(self, *, grace_s: float) -> None:
        """Refuses new calls from now on, and waits at most `grace_s` for those under way."""
        self.draining.set()
        if self._under_way:
            self._idle.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_s)

    async def answer(self, path: str, data: bytes, client: str = "", remaining_s: float | None = None) -> bytes:
        """The reply to the call `path` (``/package.Service/Call``) of `client`, who waits `remaining_s` for it.

        Raises:
            SurgeryError: what is wrong with the request, or why it is not answered now.
            Exception: a fault of the server; :func:`status.to_status` knows what a client may see of it.
        """
        started_s = time.perf_counter()
        failure: BaseException | None = None
        reply, inference = b"", None
        self._under_way += 1
        try:
            if self.draining.is_set() and path not in HEALTH:
                raise UnreachableError("the server is stopping")
            if path not in HEALTH:
                self.gate.charge(client, len(data))
            if path == methods.MODEL_INFER.path:
                reply, inference = await self._model_infer(data, Caller(client, remaining_s, len(data)))
            elif path == methods.CLOUD_PROFILE.path:
                reply = await self._cloud_profile(data)
            elif path == methods.BUNDLE.path:
                reply = await self._bundle(data)
            else:
                reply = self._simple[path](data)
        except BaseException as error:
            failure = error
            if isinstance(error, Exception) and not isinstance(error, SurgeryError):
                logger.exception("%s failed", path)
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
            if self._observers:
                self.note(
                    *(path, client, started_s),
                    bytes_up=len(data),
                    bytes_down=len(reply),
                    inference=inference,
                    failure=failure,
                )
        return reply

    def note(
        self,
        path: str,
        client: str,
        started_s: float,
        *,
        bytes_up: int = 0,
        bytes_down: int = 0,
        inference: _Inference | None = None,
        failure: BaseException | None = None,
    ) -> None:
        """Tells the observers of a call; also of one that never came to an answer, say for lack of a token."""
        status = "OK"
        if failure is not None:
            # Other than by an exception a call ends when its client has gone.
            status = to_status(failure)[0].name if isinstance(failure, Exception) else "CANCELLED"
        model, cut, batch, stages = inference or ("", (), 0, ())
        record = CallRecord(
            method=path.rpartition("/")[2],
            client=client,
            status=status,
            elapsed_s=time.perf_counter() - started_s,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            model=model,
            cut=cut,
            batch=batch,
            stages=stages,
            error="" if failure is None else " ".join(str(failure).split()),
        )
        for observer in self._observers:
            observer(record)

    async def _model_infer(self, data: bytes, caller: Caller) -> tuple[bytes, _Inference]:
        begun_s = time.perf_counter()
        request = decode_request(data)
        parsed_s = time.perf_counter()
        result = await self.plane.infer(request, caller)
        computed_s = time.perf_counter()
        reply = encode_reply(request, result)
        stages = (
            ("parse", parsed_s - begun_s),
            ("queue", result.queue_s),
            ("compute", result.compute_s),
            ("serialise", time.perf_counter() - computed_s),
        )
        return reply, (request.model_name, tuple(tensor.name for tensor in request.inputs), result.batch, stages)

    async def _cloud_profile(self, data: bytes) -> bytes:
        request = methods.parse(own.CloudProfileRequest, data)
        profile = await self.plane.profile(request.model_name, request.fingerprint or None)
        return own.CloudProfileReply(profile_json=profile).SerializeToString()

    async def _bundle(self, data: bytes) -> bytes:
        request = methods.parse(own.BundleRequest, data)
        file = await self.plane.bundle(request.model_name, request.fingerprint or None)
        piece = await asyncio.to_thread(file.read, request.offset, BUNDLE_PIECE_BYTES)
        return own.BundleReply(
            model_name=file.model_name,
            fingerprint=file.fingerprint,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            data=piece,
        ).SerializeToString()

    def _server_live(self, data: bytes) -> bytes:
        methods.parse(oip.ServerLiveRequest, data)
        return oip.ServerLiveResponse(live=True).SerializeToString()

    def _server_ready(self, data: bytes) -> bytes:
        methods.parse(oip.ServerReadyRequest, data)
        return oip.ServerReadyResponse(ready=not self.draining.is_set()).SerializeToString()

    def _model_ready(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelReadyRequest, data)
        self.plane.model(request.name, request.version)
        return oip.ModelReadyResponse(ready=True).SerializeToString()

    def _server_metadata(self, data: bytes) -> bytes:
        methods.parse(oip.ServerMetadataRequest, data)
        return descriptions.server_metadata(self.plane.server()).SerializeToString()

    def _model_metadata(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelMetadataRequest, data)
        return descriptions.model_metadata(self.plane.model(request.name, request.version)).SerializeToString()

    def _model_config(self, data: bytes) -> bytes:
        request = methods.parse(oip.ModelConfigRequest, data)
        return descriptions.model_config(self.plane.model(request.name, request.version)).SerializeToString()


def _probe(data: bytes) -> bytes:
    started_s = time.perf_counter()
    received_bytes = sum(len(payload) for payload in split(data, PROBE_PAYLOAD_FIELD).raw)
    server_s = time.perf_counter() - started_s
    return own.ProbeReply(received_bytes=received_bytes, server_s=server_s).SerializeToString()
