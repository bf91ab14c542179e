"""The client of the Open Inference Protocol: synchronous, with futures for what runs meanwhile.

It speaks to any server of the protocol; profile, bundle and probe (`connection`) are answered by our own alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dnn_surgery import codecs
from dnn_surgery.errors import TooLargeError
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES
from dnn_surgery.protocol.connection import Connection
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.dataplane import Array, InferRequest, WireTensor
from dnn_surgery.protocol.messages import encode_request, encoded_tensor, wire_tensor
from dnn_surgery.protocol.pending import AcknowledgedCall, InferenceReply, PendingReply

Payload = bytes | bytearray | memoryview

# Acknowledged requests under way at once; each has a thread that waits for its reply.
MAX_ACKNOWLEDGED = 128

_ACKNOWLEDGE = ((methods.ACKNOWLEDGE, "1"),)


class InferenceClient(Connection):
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
        self._pool = ThreadPoolExecutor(max_workers=MAX_ACKNOWLEDGED, thread_name_prefix="dnn-surgery-replies")
        super().__init__(
            address,
            model_name=model_name,
            fingerprint=fingerprint,
            timeout_s=timeout_s,
            max_message_bytes=max_message_bytes,
            credentials=credentials,
        )

    def _connect(self) -> None:
        super()._connect()
        # A unary call on the wire. gRPC hands out a unary call's initial metadata with its reply, a stream's at once.
        self._infer_acknowledged = self._channel.unary_stream(
            methods.MODEL_INFER.path, request_serializer=None, response_deserializer=None
        )

    def close(self) -> None:
        """Ends the connection; requests under way are cancelled. May be called again."""
        super().close()
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
            call = self._callable(methods.MODEL_INFER).future(data, timeout=deadline_s, metadata=self._metadata)
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


def _tensor(name: str, value: Array | Payload, codec: str | None) -> WireTensor:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return encoded_tensor(name, value, codec or "raw")
    if codec is None or codec == "raw":
        return wire_tensor(name, value)
    return encoded_tensor(name, codecs.encode(codec, value), codec)
