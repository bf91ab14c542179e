import grpc
import pytest

from dnn_surgery import errors
from dnn_surgery.errors import SurgeryError
from dnn_surgery.protocol.status import (
    ERROR_KEY,
    GRPC_RETRY_KEY,
    MAX_DETAILS_CHARACTERS,
    RETRY_KEY,
    error_metadata,
    from_status,
    to_status,
)

STATUS = {
    errors.TensorError: "INVALID_ARGUMENT",
    errors.CodecError: "INVALID_ARGUMENT",
    errors.FingerprintError: "FAILED_PRECONDITION",
    errors.TooLargeError: "RESOURCE_EXHAUSTED",
    errors.BusyError: "RESOURCE_EXHAUSTED",
    errors.UnauthenticatedError: "UNAUTHENTICATED",
    errors.UnknownModelError: "NOT_FOUND",
    errors.UnreachableError: "UNAVAILABLE",
}


def back(code: grpc.StatusCode, details: str = "why", class_name: str | None = None) -> SurgeryError:
    return from_status(code, details, address="cloud:1", timeout_s=0.5, class_name=class_name)


@pytest.mark.parametrize("kind", STATUS)
def test_an_error_reaches_the_client_as_what_it_was(kind: type[SurgeryError]) -> None:
    error = kind("tensor 'x'\nis wrong")
    code, details = to_status(error)
    assert (code.name, details) == (STATUS[kind], "tensor 'x' is wrong")
    again = back(code, details, dict(error_metadata(error))[ERROR_KEY])
    assert type(again) is kind
    assert "tensor 'x' is wrong" in str(again)


@pytest.mark.parametrize(("after_s", "back_s"), [(0.25, 0.25), (0.0, 0.001), (1e6, 60.0)])
def test_when_to_try_again_travels_in_milliseconds_under_grpcs_own_name_too(after_s: float, back_s: float) -> None:
    metadata = dict(error_metadata(errors.BusyError("full", retry_after_s=after_s)))
    assert metadata[GRPC_RETRY_KEY] == metadata[RETRY_KEY]
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    details = {"address": "cloud:1", "timeout_s": 0.5, "class_name": metadata[ERROR_KEY]}
    again = from_status(code, "full", retry_after_ms=metadata[RETRY_KEY], **details)  # type: ignore[arg-type]
    assert isinstance(again, errors.BusyError)
    assert again.retry_after_s == back_s
    for nonsense in (None, "soon", "-5", "1e9"):
        again = from_status(code, "full", retry_after_ms=nonsense, **details)  # type: ignore[arg-type]
        assert isinstance(again, errors.BusyError)
        assert again.retry_after_s == 0.5


def test_a_status_without_a_class_name_means_its_first_class() -> None:
    assert type(back(grpc.StatusCode.INVALID_ARGUMENT)) is errors.TensorError
    assert type(back(grpc.StatusCode.NOT_FOUND, class_name="SystemExit")) is errors.UnknownModelError
    assert type(back(grpc.StatusCode.UNIMPLEMENTED)) is errors.RemoteError
    assert type(back(grpc.StatusCode.CANCELLED)) is errors.UnreachableError


def test_an_error_nobody_raised_on_purpose_shows_its_class_alone() -> None:
    code, details = to_status(RuntimeError("at 0x7f in /home/somebody"))
    assert (code, details) == (grpc.StatusCode.INTERNAL, "the server failed: RuntimeError")
    assert error_metadata(RuntimeError()) == ()
    assert type(back(code, details)) is errors.RemoteError


def test_a_long_text_is_cut_before_http2_refuses_it() -> None:
    _, details = to_status(errors.TensorError("x" * 100_000))
    assert len(details) == MAX_DETAILS_CHARACTERS
    assert details.endswith(" ...")


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: Connection refused", "no server answers at cloud:1"),
        ("DNS resolution failed for cloud:1", "no server answers at cloud:1: the name does not resolve"),
        ("errors resolving cloud:1: lookup failed", "no server answers at cloud:1: the name does not resolve"),
        ("Socket closed", "the connection to the server at cloud:1 was lost: Socket closed"),
    ],
)
def test_unavailable_says_what_is_not_there(details: str, message: str) -> None:
    error = back(grpc.StatusCode.UNAVAILABLE, details)
    assert (type(error), str(error)) == (errors.UnreachableError, message)


def test_a_deadline_says_how_long_it_was() -> None:
    error = back(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert (type(error), str(error)) == (errors.DeadlineError, "the server at cloud:1 did not answer within 500 ms")
