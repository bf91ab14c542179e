"""The client of the Open Inference Protocol: synchronous, with futures for what runs meanwhile.

It speaks to any server of the protocol; profile and probe are answered by our own alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc

from dnn_surgery import codecs
from dnn_surgery.errors import NotReadyError, RemoteError, SurgeryError, TooLargeError, UnreachableError
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.address import parse_address
from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES, client_options
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.dataplane import (
    Array,
    InferRequest,
    ModelDescription,
    ServerDescription,
    WireTensor,
)
from dnn_surgery.protocol.descriptions import read_model_metadata, read_server_metadata
from dnn_surgery.protocol.messages import encode_request, encoded_tensor, wire_tensor
from dnn_surgery.protocol.pending import AcknowledgedCall, InferenceReply, PendingReply, call_error
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.stubs import surgery_pb2 as own
from dnn_surgery.protocol.wire import PROBE_PAYLOAD_FIELD, join

Payload = bytes | bytearray | memoryview

# The server may have to measure the model first: seconds to a minute.
PROFILE_TIMEOUT_S = 300.0

# Acknowledged requests under way at once; each has a thread that waits for its reply.
MAX_ACKNOWLEDGED = 128

_ACKNOWLEDGE = ((methods.ACKNOWLEDGE, "1"),)


class InferenceClient:
    """One server, one model, one connection; a context manager, thread-safe.

    Nothing is connected before the first call; a server that restarts is found again within a second.

    Args:
        address: ``host:port``.
        model_name: the model asked for, as the server names it.
        fingerprint: sent with every request, so that a server with another model or other weights refuses.
        timeout_s: the deadline of each call that names no other.
        max_message_bytes: the largest message taken or sent.
        credentials: TLS and a token, for servers that want them.

    Raises:
        InputError: the address is malformed, or a token would go out unencrypted.
    """

    def __init__(
        self,
        address: str,
        *,
        model_name: str,
        fingerprint: str | None = None,
        timeout_s: float = 10.0,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        credentials: Credentials = Credentials(),
    ) -> None:
        where = parse_address(address)
        self._where, self._credentials = where, credentials
        self._metadata = credentials.metadata(where)
        self.address = str(where)
        self.model_name = model_name
        self.fingerprint = fingerprint
        self.timeout_s = timeout_s
        self.max_message_bytes = max_message_bytes
        self._options = client_options(where, max_message_bytes=max_message_bytes)
        self._closed = self._worked = False
        self._pool = ThreadPoolExecutor(max_workers=MAX_ACKNOWLEDGED, thread_name_prefix="dnn-surgery-replies")
        self._connect()

    def __enter__(self) -> InferenceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def reconnect(self) -> None:
        """Begins with a new connection: the other end of one on which nothing answers may have forgotten it.

        Requests under way are cancelled.
        """
        self._check_open()
        before = self._channel
        self._connect()
        before.close()

    def _connect(self) -> None:
        self._channel = self._credentials.channel(self._where, self._options)
        self._infer = _unary(self._channel, methods.MODEL_INFER)
        # The same call on the wire. gRPC hands out a unary call's initial metadata with its reply, a stream's at once.
        self._infer_acknowledged = self._channel.unary_stream(
            methods.MODEL_INFER.path, request_serializer=None, response_deserializer=None
        )

    def close(self) -> None:
        """Ends the connection; requests under way are cancelled. May be called again."""
        self._closed = True
        self._channel.close()
        self._pool.shutdown(wait=False)

    def infer(
        self,
        tensors: Mapping[str, Array | Payload],
        outputs: Sequence[str] = (),
        *,
        codecs: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> InferenceReply:
        """Has the server compute `outputs` (none named: all outputs of the model) from `tensors`.

        Args:
            tensors: arrays (uint16 for bfloat16). A tensor with a codec may be its payload as bytes; an array is
                encoded here.
            outputs: names of tensors.
            codecs: the codec of each encoded tensor.
            timeout_s: the deadline of this call.

        Raises:
            TensorError: a tensor is unknown, missing, unneeded, or of the wrong shape or datatype.
            CodecError: a codec is unknown, or a payload is damaged.
            FingerprintError: the server holds another model or other weights.
            UnknownModelError: the server serves no such model.
            TooLargeError: request or answer exceed what either side takes.
            DeadlineError: there was no answer in time.
            BusyError: the server takes no more for now; `retry_after_s` says when it will.
            UnauthenticatedError: the server wants another token.
            CertificateError: no encrypted connection comes about.
            UnreachableError: no server answers, or the connection was lost.
            RemoteError: the server failed.
        """
        data, deadline_s = self._request(tensors, outputs, codecs, timeout_s)
        started_s = time.perf_counter()
        # Waited for in this thread, an answer comes two changes of threads earlier than by way of a future.
        reply = self._call_raw(methods.MODEL_INFER, data, deadline_s)
        return InferenceReply.of(reply, elapsed_s=time.perf_counter() - started_s, bytes_up=len(data))

    def infer_async(
        self,
        tensors: Mapping[str, Array | Payload],
        outputs: Sequence[str] = (),
        *,
        codecs: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        acknowledged: bool = False,
    ) -> PendingReply:
        """As :meth:`infer`, without waiting; what the request itself rules out is raised here, the rest by `result`.

        `acknowledged` asks for word of the request's arrival, see :meth:`PendingReply.wait_received`.
        """
        data, deadline_s = self._request(tensors, outputs, codecs, timeout_s)
        started_s = time.perf_counter()
        call: Any
        if acknowledged:
            metadata = (*self._metadata, *_ACKNOWLEDGE)
            call = AcknowledgedCall(self._infer_acknowledged(data, timeout=deadline_s, metadata=metadata), self._pool)
        else:
            call = self._infer.future(data, timeout=deadline_s, metadata=self._metadata)
        return PendingReply(
            call,
            started_s=started_s,
            timeout_s=deadline_s,
            bytes_up=len(data),
            to_error=self._error,
            address=self.address,
        )

    def _request(
        self,
        tensors: Mapping[str, Array | Payload],
        outputs: Sequence[str],
        codecs: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> tuple[bytes, float]:
        """The message and its deadline."""
        request = InferRequest(
            model_name=self._model_for(tensors, outputs),
            fingerprint=self.fingerprint,
            inputs=tuple(_tensor(name, value, (codecs or {}).get(name)) for name, value in tensors.items()),
            outputs=tuple(outputs),
        )
        data = encode_request(request)
        self._check_open()
        if len(data) > self.max_message_bytes:
            raise TooLargeError(f"the request takes {len(data)} bytes, more than the limit of {self.max_message_bytes}")
        return data, self.timeout_s if timeout_s is None else timeout_s

    def _model_for(self, tensors: Iterable[str], outputs: Iterable[str]) -> str:  # noqa: ARG002 - what others override
        """The model that computes `outputs` from `tensors`; our own server does all of them under one name."""
        return self.model_name

    def is_live(self, *, timeout_s: float | None = None) -> bool:
        """Whether a server answers and says that it is live."""
        try:
            return self._call(methods.SERVER_LIVE, oip.ServerLiveRequest(), timeout_s).live
        except SurgeryError:
            return False

    def ping(self, *, timeout_s: float | None = None) -> float:
        """Seconds of a call without a payload to a server that says it is ready.

        Raises:
            NotReadyError: it is there, but stopping or not ready.
            SurgeryError: as for any call.
        """
        started_s = time.perf_counter()
        ready = self._call(methods.SERVER_READY, oip.ServerReadyRequest(), timeout_s).ready
        elapsed_s = time.perf_counter() - started_s
        if not ready:
            raise NotReadyError(f"the server at {self.address} is not ready")
        return elapsed_s

    def server_metadata(self, *, timeout_s: float | None = None) -> ServerDescription:
        """Name, version and extensions of the server."""
        return read_server_metadata(self._call(methods.SERVER_METADATA, oip.ServerMetadataRequest(), timeout_s))

    def model_metadata(self, name: str | None = None, *, timeout_s: float | None = None) -> ModelDescription:
        """What the model (or the one called `name`) takes and gives as a whole.

        Raises:
            UnknownModelError: the server serves no such model.
        """
        request = oip.ModelMetadataRequest(name=self.model_name if name is None else name)
        return read_model_metadata(self._call(methods.MODEL_METADATA, request, timeout_s))

    def fetch_profile(self, *, timeout_s: float = PROFILE_TIMEOUT_S) -> Profile:
        """What the model costs on the server; the server measures it first, unless it has.

        Raises:
            ProfileError: the answer is no profile.
            FingerprintError: the server holds another model or other weights.
            RemoteError: the server is of another make and has none.
        """
        request = own.CloudProfileRequest(model_name=self.model_name, fingerprint=self.fingerprint or "")
        reply = self._call(methods.CLOUD_PROFILE, request, timeout_s)
        return Profile.from_json(reply.profile_json, where=f"profile of {self.address}")

    def bundle_piece(self, offset: int, *, timeout_s: float | None = None) -> own.BundleReply:
        """What the server's bundle is, and its bytes from `offset` on as far as one message carries them.

        Raises:
            FingerprintError: the server holds another model or other weights.
            RemoteError: the server has none to offer.
        """
        request = own.BundleRequest(model_name=self.model_name, fingerprint=self.fingerprint or "", offset=offset)
        return self._call(methods.BUNDLE, request, timeout_s)

    def probe(self, size_bytes: int, *, timeout_s: float | None = None) -> float:
        """Seconds from sending `size_bytes` of random bytes until the server's acknowledgement is here.

        The server's own time is taken off: what is left is the round trip and the way up.
        """
        data = join(b"", PROBE_PAYLOAD_FIELD, [memoryview(os.urandom(size_bytes))])
        started_s = time.perf_counter()
        reply = self._call_raw(methods.PROBE, data, timeout_s)
        elapsed_s = time.perf_counter() - started_s
        acknowledgement = methods.parse(own.ProbeReply, reply)
        if acknowledgement.received_bytes != size_bytes:
            raise RemoteError(
                f"the server at {self.address} received {acknowledgement.received_bytes} of {size_bytes} probe bytes"
            )
        return max(0.0, elapsed_s - acknowledgement.server_s)

    def _call(
        self, method: methods.Method[Any, methods.ReplyT], request: Any, timeout_s: float | None
    ) -> methods.ReplyT:
        return methods.parse(method.reply, self._call_raw(method, request.SerializeToString(), timeout_s))

    def _call_raw(self, method: methods.Method[Any, Any], data: bytes, timeout_s: float | None) -> bytes:
        self._check_open()
        call = self._infer if method is methods.MODEL_INFER else _unary(self._channel, method)
        deadline_s = self.timeout_s if timeout_s is None else timeout_s
        try:
            reply = call(data, timeout=deadline_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error, deadline_s) from None
        except ValueError as error:
            # What grpc raises for a channel that another thread closed meanwhile.
            raise UnreachableError(f"the client of {self.address} is closed") from error
        self._worked = True
        return reply

    def _error(self, error: grpc.RpcError, timeout_s: float) -> SurgeryError:
        """The project's error for a failed call."""
        found = call_error(error, address=self.address, timeout_s=timeout_s)
        # Where it worked before, TLS is not the reason, and a frame's answer does not wait for another connection.
        if type(found) is not UnreachableError or self._worked or self._closed:
            return found
        return self._credentials.diagnose(self._where) or found

    def _check_open(self) -> None:
        if self._closed:
            raise UnreachableError(f"the client of {self.address} is closed")


def _unary(channel: grpc.Channel, method: methods.Method[Any, Any]) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(method.path, request_serializer=None, response_deserializer=None)


def _tensor(name: str, value: Array | Payload, codec: str | None) -> WireTensor:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return encoded_tensor(name, value, codec or "raw")
    if codec is None or codec == "raw":
        return wire_tensor(name, value)
    return encoded_tensor(name, codecs.encode(codec, value), codec)
