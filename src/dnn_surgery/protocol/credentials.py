"""The client's side of TLS and tokens: whom to trust, and who we are."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from dnn_surgery.errors import CertificateError, InputError
from dnn_surgery.protocol.address import Address

SYSTEM_CA = "system"

# OpenSSL's X509_V_ERR_*: has expired; self-signed, or of an issuer that is not known.
_EXPIRED, _UNTRUSTED = 10, (18, 19, 20, 21)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Nothing given: an unencrypted connection, and no token.

    Args:
        ca: a PEM file of the certificates to trust; ``system`` for those that this machine trusts anyway.
        cert, key: PEM files of our own certificate, for servers that want one.
        token_file: a file whose first line is our token. It is read again for every connection, and goes over TLS only,
            or to this machine.

    Raises:
        InputError: a file cannot be read, is not what it should be, or goes with another one that is not given.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    token_file: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InputError("a certificate and its key go together: give both or neither")
        if self.cert is not None and self.key is not None:
            if self.ca is None:
                raise InputError("our own certificate needs the server's authority beside it (a PEM file, or system)")
            check_pair(self.cert, self.key)
        if self.ca is not None and str(self.ca) != SYSTEM_CA:
            read_pem(self.ca, "CERTIFICATE")

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.ca is not None

    def metadata(self, address: Address) -> tuple[tuple[str, str], ...]:
        """What each call says of us.

        Raises:
            InputError: the token cannot be read, or everyone on the way to `address` could.
        """
        if self.token_file is None:
            return ()
        if not self.encrypted and not address.loopback:
            raise InputError(f"a token is not sent to {address} unencrypted: give the server's authority (TLS)")
        return (("authorization", f"Bearer {_read_token(Path(self.token_file))}"),)

    def channel(self, address: Address, options: tuple[tuple[str, int], ...]) -> grpc.Channel:
        """A channel to the address."""
        if not self.encrypted:
            return grpc.insecure_channel(str(address), options=options)
        ca = None if str(self.ca) == SYSTEM_CA or self.ca is None else read_pem(self.ca, "CERTIFICATE")
        cert = None if self.cert is None else read_pem(self.cert, "CERTIFICATE")
        key = None if self.key is None else read_pem(self.key, "PRIVATE KEY")
        credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)
        return grpc.secure_channel(str(address), credentials, options=options)

    def diagnose(self, address: Address, *, timeout_s: float = 2.0) -> CertificateError | None:
        """Why no connection comes about, in words; None where nobody listens, or TLS is not the reason.

        gRPC says only that a handshake failed; so one is made here, with what says more.
        """
        try:
            raw = socket.create_connection((address.host, address.port), timeout=timeout_s)
        except OSError:
            return None
        with raw:
            if not self.encrypted:
                return (
                    CertificateError(f"the server at {address} wants TLS: name whom to trust") if _is_tls(raw) else None
                )
            try:
                self._shake_hands(raw, address)
            except ssl.SSLCertVerificationError as error:
                return CertificateError(f"the certificate of {address} is refused: {self._refusal(error)}")
            except (ssl.SSLError, OSError) as error:
                return CertificateError(f"no encrypted connection to {address}: {_reason(error)}")
        return None

    def _refusal(self, error: ssl.SSLCertVerificationError) -> str:
        if error.verify_code == _EXPIRED:
            return "it has expired"
        if error.verify_code in _UNTRUSTED:
            where = "that this machine trusts" if str(self.ca) == SYSTEM_CA else f"in {self.ca}"
            return f"no authority {where} signed it"
        return error.verify_message

    def _shake_hands(self, raw: socket.socket, address: Address) -> None:
        context = ssl.create_default_context(cafile=None if str(self.ca) == SYSTEM_CA else str(self.ca))
        context.set_alpn_protocols(["h2"])
        if self.cert is not None:
            context.load_cert_chain(str(self.cert), str(self.key))
        with context.wrap_socket(raw, server_hostname=address.host) as encrypted:
            # In TLS 1.3 a server refuses our certificate only after the handshake: it hangs up instead of speaking.
            if not encrypted.recv(1):
                raise OSError("the server hung up")


def _is_tls(raw: socket.socket) -> bool:
    """Whether the other side shakes hands at all; whose certificate it shows is not looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_socket(raw).close()
    except (ssl.SSLError, OSError):
        return False
    return True


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error).replace("_", " ").lower()
    if "certificate required" in text:
        return "the server wants a certificate of ours"
    if "unknown ca" in text or "bad certificate" in text or "hung up" in text or "reset" in text or "eof" in text:
        return "the server does not take our certificate, or wants one"
    if "wrong version number" in text or "record layer failure" in text:
        return "the server does not speak TLS"
    return text


def read_pem(path: str | Path, kind: str) -> bytes:
    """A file that holds something in PEM of that kind, such as ``CERTIFICATE``.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if f"{kind}-----".encode() not in data:
        raise InputError(f"{path}: holds no {kind.lower()} in PEM")
    return data


def check_pair(cert: str | Path, key: str | Path) -> None:
    """Whether the key is the certificate's.

    Raises:
        InputError: it is not, or a file cannot be read.
    """
    read_pem(cert, "CERTIFICATE")
    read_pem(key, "PRIVATE KEY")
    try:
        ssl.create_default_context().load_cert_chain(str(cert), str(key), password="")
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"{key} is not the key of {cert}, or cannot be read without a password") from error


def _read_token(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read token {path}: {error}") from error
    token = lines[0].strip()
    if not token or not token.isascii() or not token.isprintable():
        raise InputError(f"{path}: its first line is no token")
    return token
