"""What a server answers, apart from how it is asked: the records and the contract between servicer and cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dnn_surgery.errors import RemoteError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor as it came or goes: `array` in C order, possibly a read-only view into the message.

    `dtype` is a graph's name; bfloat16 is held as uint16. With a `codec`, the array is the encoded payload, uint8 [n].
    """

    name: str
    dtype: str
    array: Array
    codec: str | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One request. No `outputs` named: all outputs of the model. No `fingerprint`: any model of that name will do."""

    model_name: str
    inputs: tuple[WireTensor, ...]
    outputs: tuple[str, ...] = ()
    model_version: str = ""
    fingerprint: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class InferResult:
    """One answer: the requested tensors, the seconds it waited, the seconds it ran (decoding included), and the load.

    `load` is the factor by which waiting stretches the computing just now: 1 on an idle server. `slowdown` is by what
    factor computing itself takes longer than the server's profile says (1 without one). Both together are what a device
    multiplies the profile's seconds with. `clients` shared the server in the last seconds, `queued` requests wait,
    `batch` ran together.
    """

    outputs: tuple[WireTensor, ...]
    queue_s: float
    compute_s: float
    load: float
    slowdown: float = 1.0
    clients: int = 1
    queued: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `name` is whom the server is shared between.

    After `remaining_s` nobody waits for the answer any more (None: no deadline); `size_bytes` is the whole message.
    """

    name: str = ""
    remaining_s: float | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TensorDescription:
    """Name, datatype (a graph's name) and shape of a model's input or output; None where the size varies."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A served model: what it takes and gives as a whole."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """A server: name, version, and the extensions of the protocol that it speaks."""

    name: str
    version: str
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class BundleFile:
    """The served model as one file: what it is, and `read(offset, count)` for its bytes (fewer at its end)."""

    model_name: str
    fingerprint: str
    size_bytes: int
    sha256: str
    read: Callable[[int, int], bytes]


class DataPlane(ABC):
    """Answers requests. Errors are the project's own; whatever else it raises is the server's fault."""

    @property
    @abstractmethod
    def models(self) -> tuple[str, ...]:
        """Names of the served models."""

    @abstractmethod
    def server(self) -> ServerDescription:
        """The server."""

    @abstractmethod
    def model(self, name: str, version: str) -> ModelDescription:
        """The model of that name; version "" is the served one.

        Raises:
            UnknownModelError: it is not served, or not in that version.
        """

    def check_room(self, client: str) -> None:  # noqa: ARG002 - a server without a bound always has room
        """Asked before a request's body is read, which costs a device on a slow link more than anything else.

        Raises:
            BusyError: the request would be refused anyway.
        """
        return

    @abstractmethod
    async def infer(self, request: InferRequest, caller: Caller = Caller()) -> InferResult:
        """Computes the requested tensors from the given ones.

        Raises:
            UnknownModelError: no such model or version.
            FingerprintError: the server holds another model or other weights.
            TensorError: a tensor is unknown, missing, unneeded, or of the wrong shape or datatype.
            CodecError: a codec is unknown, or its payload is damaged.
            BusyError: the server takes no more for now, or cannot answer before the caller's deadline.
            DeadlineError: the deadline passed while the request waited.
        """

    @abstractmethod
    async def profile(self, name: str, fingerprint: str | None) -> str:
        """The JSON profile of the model on this server.

        Raises:
            UnknownModelError: it is not served.
            FingerprintError: the server holds another model or other weights.
        """

    async def bundle(self, name: str, fingerprint: str | None) -> BundleFile:  # noqa: ARG002 - what others override
        """The model as one file; name "" is the served model.

        Raises:
            UnknownModelError: it is not served.
            FingerprintError: the server holds another model or other weights.
            RemoteError: the server offers none.
        """
        raise RemoteError("this server offers no bundle")
