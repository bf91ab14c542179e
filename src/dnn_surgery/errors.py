"""Every error this project raises on purpose.

One root, :class:`SurgeryError`: its message is one line that names what is wrong and where.
`exit_code` is what a command ends with; the protocol room maps the classes to gRPC status.
"""

from __future__ import annotations


class SurgeryError(Exception):
    """Root of all errors raised on purpose."""

    exit_code = 1


class InputError(SurgeryError):
    """Something the user gave cannot be used: a flag, a file, a value."""

    exit_code = 2


class ConfigurationError(InputError):
    """A configuration file is wrong; the message names file and line."""


class UnitError(InputError):
    """A quantity such as ``5.85Mbit/s`` or ``40ms`` does not parse."""


class ModelError(InputError):
    """A model cannot be found, loaded or traced."""


class WeightsError(ModelError):
    """A weights file is missing, damaged, unsafe or of another model."""


class ProblemError(InputError):
    """A planning problem is malformed; the message names the place in it."""


class ProfileError(InputError):
    """A profile file is malformed or belongs to another model."""


class SourceError(InputError):
    """A source of frames cannot be read."""


class TensorError(InputError):
    """Named tensors are unknown, missing, unneeded, or of the wrong shape or datatype."""


class CodecError(InputError):
    """A codec is unknown, or a payload is not what the codec would have written."""


class InfeasibleError(SurgeryError):
    """No partition satisfies the constraints; the message names the constraint."""

    exit_code = 4


class NetworkError(SurgeryError):
    """The other side cannot be used."""

    exit_code = 3


class UnreachableError(NetworkError):
    """No server answers at the address, or the connection was lost."""


class DeadlineError(NetworkError):
    """The server did not answer in time."""


class RemoteError(NetworkError):
    """The server answered with an error of its own."""


class FingerprintError(NetworkError):
    """Both sides hold different models or weights."""


class NotReadyError(NetworkError):
    """The server has not compiled what this cut needs yet, and does so now; later it will answer."""


class UnknownModelError(NetworkError):
    """The server does not serve a model of that name or version."""


class TooLargeError(NetworkError):
    """A message is larger than the other side takes."""


class UnauthenticatedError(NetworkError):
    """The server does not know who asks: no token, or one that it does not know."""


class CertificateError(NetworkError):
    """The encrypted connection was not made: a certificate is not trusted, has expired, or is missing."""


class BusyError(NetworkError):
    """The server takes no more for now: its queue is full, a quota is used up, or a deadline cannot be met.

    `retry_after_s` is when another try is worth it.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AddressError(NetworkError):
    """An address cannot be listened on."""
