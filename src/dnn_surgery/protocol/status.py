"""The one place that maps the project's errors to gRPC status and back.

The status is for every client; for our own, the trailing metadata name the class, where several share a status.
"""

from __future__ import annotations

import grpc

from dnn_surgery import errors
from dnn_surgery.errors import SurgeryError
from dnn_surgery.units import format_duration

ERROR_KEY = "dnn-surgery-error"
# Milliseconds until another try is worth it; the second is what gRPC's own clients read, if they retry at all.
RETRY_KEY, GRPC_RETRY_KEY = "retry-after-ms", "grpc-retry-pushback-ms"

# No server sends a device away for longer.
LONGEST_RETRY_S = 60.0

# gRPC sends the text in an HTTP/2 header, percent-encoded; a block of more than 8 KiB in all is refused.
MAX_DETAILS_CHARACTERS = 500

# The most specific class comes first, and the first class of a status is what it means when nothing says more.
_STATUS: tuple[tuple[type[SurgeryError], grpc.StatusCode], ...] = (
    (errors.TensorError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.CodecError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.FingerprintError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.TooLargeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.BusyError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.UnknownModelError, grpc.StatusCode.NOT_FOUND),
    (errors.DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.UnreachableError, grpc.StatusCode.UNAVAILABLE),
    (errors.NotReadyError, grpc.StatusCode.UNAVAILABLE),
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
)
_CLASSES = {kind.__name__: kind for kind, _ in _STATUS}


def to_status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status and the text that a client sees. An error that nobody raised on purpose shows its class alone."""
    if not isinstance(error, SurgeryError):
        return grpc.StatusCode.INTERNAL, f"the server failed: {type(error).__name__}"
    code = next((code for kind, code in _STATUS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
    text = " ".join(str(error).split())
    if len(text) > MAX_DETAILS_CHARACTERS:
        text = text[: MAX_DETAILS_CHARACTERS - 4] + " ..."
    return code, text


def error_metadata(error: Exception) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that name the error's class, and say when to try again where it knows."""
    if not isinstance(error, SurgeryError):
        return ()
    name = ((ERROR_KEY, type(error).__name__),)
    if not isinstance(error, errors.BusyError):
        return name
    after_ms = str(max(1, round(1e3 * error.retry_after_s)))
    return (*name, (RETRY_KEY, after_ms), (GRPC_RETRY_KEY, after_ms))


def from_status(
    code: grpc.StatusCode,
    details: str,
    *,
    address: str,
    timeout_s: float,
    class_name: str | None = None,
    retry_after_ms: str | None = None,
) -> SurgeryError:
    """The error that a status stands for, on the client's side.

    `address` and `timeout_s` are what was called and how long it was waited for; `class_name` and `retry_after_ms` come
    from the metadata.
    """
    if code is grpc.StatusCode.CANCELLED:
        return errors.UnreachableError(f"the server at {address} gave the call up")
    if code is grpc.StatusCode.UNAVAILABLE and class_name is None:
        return errors.UnreachableError(_unreachable(details, address))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineError(f"the server at {address} did not answer within {format_duration(timeout_s)}")
    kind = _CLASSES.get(class_name or "")
    if kind is None:
        kind = next((kind for kind, status in _STATUS if status is code), None)
    if kind is None:
        text = f"the server at {address} answered {code.name}: {details or 'no details'}"
        return errors.RemoteError(" ".join(text.split()))
    text = f"the server at {address} refused: {details}"
    if kind is errors.BusyError and (retry_after_ms or "").isdecimal():
        return errors.BusyError(text, retry_after_s=min(int(retry_after_ms or 0) / 1e3, LONGEST_RETRY_S))
    return kind(text)


def _unreachable(details: str, address: str) -> str:
    text = details.lower()
    if "resolution" in text or "resolving" in text:
        return f"no server answers at {address}: the name does not resolve"
    if "connect" in text and "reset" not in text:
        return f"no server answers at {address}"
    return f"the connection to the server at {address} was lost: {' '.join(details.split())[:200] or 'no details'}"
