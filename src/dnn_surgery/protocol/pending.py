"""An answer that may still be on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from dnn_surgery.errors import DeadlineError, SurgeryError, UnreachableError
from dnn_surgery.protocol.dataplane import Array
from dnn_surgery.protocol.messages import decode_reply
from dnn_surgery.protocol.methods import ACKNOWLEDGED
from dnn_surgery.protocol.status import ERROR_KEY, RETRY_KEY, from_status
from dnn_surgery.units import format_duration

if TYPE_CHECKING:
    from grpc import CallFuture


@dataclass(frozen=True, slots=True)
class InferenceReply:
    """One answer: tensors by name, what it took, and what went over the wire.

    `elapsed_s` runs from handing the request to gRPC until the answer is here; `queue_s` and `compute_s` are the
    server's share of it (0 from a server of another make). `load` is the factor by which waiting stretches computing
    on the server just now, 1 when it is idle; `slowdown` the factor by which computing takes longer than its profile
    says; `clients` and `queued` are how many share it, and how many requests wait. The byte counts are whole messages,
    without HTTP/2 framing.
    """

    tensors: Mapping[str, Array]
    elapsed_s: float
    queue_s: float
    compute_s: float
    load: float
    bytes_up: int
    bytes_down: int
    slowdown: float = 1.0
    clients: int = 1
    queued: int = 0

    @classmethod
    def of(cls, data: bytes, *, elapsed_s: float, bytes_up: int) -> InferenceReply:
        """The answer in a serialised ModelInferResponse.

        Raises:
            TensorError: it is malformed.
        """
        answer = decode_reply(data)
        return cls(
            tensors={tensor.name: tensor.array for tensor in answer.outputs},
            elapsed_s=elapsed_s,
            queue_s=answer.queue_s,
            compute_s=answer.compute_s,
            load=answer.load,
            bytes_up=bytes_up,
            bytes_down=len(data),
            slowdown=answer.slowdown,
            clients=answer.clients,
            queued=answer.queued,
        )


class AcknowledgedCall:
    """A stream of one reply with a unary call's face, whose initial metadata can be had before the reply."""

    def __init__(self, call: Any, pool: ThreadPoolExecutor) -> None:
        self._call = call
        self._reply = pool.submit(next, call, b"")

    def result(self, timeout: float | None = None) -> bytes:
        """The reply. Errors as of a unary call."""
        try:
            return self._reply.result(timeout)
        except FutureTimeoutError:
            raise grpc.FutureTimeoutError from None

    def initial_metadata(self) -> Any:
        """Waits for them, at the latest until the call ends."""
        return self._call.initial_metadata()

    def done(self) -> bool:
        """Whether the reply or a failure is here."""
        return self._reply.done()

    def cancel(self) -> None:
        """Gives the call up."""
        self._call.cancel()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls back once the reply or a failure is here."""
        self._reply.add_done_callback(callback)


class PendingReply:
    """A request under way. Thread-safe; the answer may be asked for more than once."""

    def __init__(
        self,
        call: CallFuture[bytes] | AcknowledgedCall,
        *,
        started_s: float,
        address: str,
        timeout_s: float,
        bytes_up: int,
        to_error: Callable[[grpc.RpcError, float], SurgeryError],
    ) -> None:
        self._call = call
        self._to_error = to_error
        self._address = address
        self._timeout_s = timeout_s
        self.bytes_up = bytes_up
        self._started_s = started_s
        self._finished_s: float | None = None
        call.add_done_callback(self._finish)

    def result(self, timeout_s: float | None = None) -> InferenceReply:
        """Waits for the answer; `timeout_s` bounds this wait, the request's own deadline stands besides.

        Raises:
            DeadlineError: no answer within `timeout_s` (the request goes on) or within the request's deadline.
            SurgeryError: what the server or the network answered instead; see :meth:`InferenceClient.infer`.
        """
        try:
            data = self._call.result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            waited = format_duration(timeout_s or 0.0)
            raise DeadlineError(f"no answer from {self._address} within {waited} yet") from None
        except grpc.FutureCancelledError:
            raise UnreachableError(f"the request to {self._address} was cancelled") from None
        except grpc.RpcError as error:
            raise self._to_error(error, self._timeout_s) from None
        # gRPC wakes waiting threads before it runs callbacks.
        finished_s = self._finished_s if self._finished_s is not None else time.perf_counter()
        return InferenceReply.of(data, elapsed_s=finished_s - self._started_s, bytes_up=self.bytes_up)

    def wait_received(self) -> float | None:
        """Waits until the server says that it has the whole request, at the latest until the call ends.

        When that message was here, on `time.perf_counter`: half a round trip after the request was there. None where
        the call failed, or the server acknowledges nothing (one of another make, or a request that did not ask).
        """
        metadata = self._call.initial_metadata()
        now_s = time.perf_counter()
        return now_s if any(key == ACKNOWLEDGED for key, _ in metadata or ()) else None

    def done(self) -> bool:
        """Whether :meth:`result` would return or raise at once."""
        return self._call.done()

    def cancel(self) -> None:
        """Gives the request up; the server does not begin it if it has not."""
        self._call.cancel()

    def add_done_callback(self, callback: Callable[[PendingReply], None]) -> None:
        """Calls `callback` with this object once the answer is here (at once if it is), in a thread of gRPC."""
        self._call.add_done_callback(lambda _: callback(self))

    def _finish(self, _: Any) -> None:
        self._finished_s = time.perf_counter()


def call_error(error: grpc.RpcError, *, address: str, timeout_s: float) -> SurgeryError:
    """The project's error for a failed call to `address` with the deadline `timeout_s`."""
    if not isinstance(error, grpc.Call):
        return UnreachableError(f"the call to {address} failed: {error}")
    said = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
    return from_status(
        error.code(),
        error.details() or "",
        address=address,
        timeout_s=timeout_s,
        class_name=said.get(ERROR_KEY),
        retry_after_ms=said.get(RETRY_KEY),
    )
