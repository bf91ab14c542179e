"""One server and one model over one connection: what is asked of it besides inference, and how any call is made."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any, TypeVar

import grpc

from dnn_surgery.errors import NotReadyError, RemoteError, SurgeryError, UnreachableError
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.address import parse_address
from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES, client_options
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.dataplane import ModelDescription, ServerDescription
from dnn_surgery.protocol.descriptions import read_model_metadata, read_server_metadata
from dnn_surgery.protocol.pending import call_error
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.stubs import surgery_pb2 as own
from dnn_surgery.protocol.wire import PROBE_PAYLOAD_FIELD, join

# The server may have to measure the model first: seconds to a minute.
PROFILE_TIMEOUT_S = 300.0

ConnectionT = TypeVar("ConnectionT", bound="Connection")


class Connection:
    """See :class:`~dnn_surgery.protocol.client.InferenceClient`, which has the same arguments and errors."""

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
        self._connect()

    def __enter__(self: ConnectionT) -> ConnectionT:
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
        self._callables: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    def close(self) -> None:
        """Ends the connection; requests under way are cancelled. May be called again."""
        self._closed = True
        self._channel.close()

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
        call = self._callable(method)
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

    def _callable(self, method: methods.Method[Any, Any]) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        """Bytes in, bytes out; made once a connection."""
        found = self._callables.get(method.path)
        if found is None:
            found = self._channel.unary_unary(method.path, request_serializer=None, response_deserializer=None)
            self._callables[method.path] = found
        return found
