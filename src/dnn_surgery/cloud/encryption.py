"""The server's side of TLS: its certificate, and whose clients' certificates it trusts."""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from dnn_surgery.errors import InputError
from dnn_surgery.protocol.credentials import check_pair, read_pem

logger = logging.getLogger(__name__)

_Stamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Files in PEM. With `client_ca`, only clients whose certificate it signs get through the handshake.

    Raises:
        InputError: a file cannot be read, or key and certificate do not belong together.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        self.check()

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.cert, self.key, *(() if self.client_ca is None else (self.client_ca,)))

    def check(self) -> None:
        """Raises InputError unless the files are what they should be now."""
        check_pair(self.cert, self.key)
        if self.client_ca is not None:
            read_pem(self.client_ca, "CERTIFICATE")
            try:
                ssl.create_default_context(cafile=str(self.client_ca))
            except (ssl.SSLError, OSError) as error:
                raise InputError(f"{self.client_ca}: its certificate cannot be read") from error

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What the files hold now.

        Raises:
            InputError: one cannot be read.
        """
        pair = (read_pem(self.key, "PRIVATE KEY"), read_pem(self.cert, "CERTIFICATE"))
        ca = None if self.client_ca is None else read_pem(self.client_ca, "CERTIFICATE")
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC listens with; files that were replaced are taken for the connections that come after."""
        renewals = _Renewals(self)
        return grpc.dynamic_ssl_server_credentials(
            self.configuration(),
            renewals.fetch,  # type: ignore[arg-type] # None is "no change", which the stubs do not know
            require_client_authentication=self.client_ca is not None,
        )


class _Renewals:
    """Reads the files again where they have changed. gRPC asks before each handshake, in threads of its own."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamps = self._look()

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The new certificate; None if it is the one in force, which bad files leave as it is."""
        with self._lock:
            stamps = self._look()
            if stamps == self._stamps:
                return None
            try:
                configuration = self._tls.configuration()
                self._tls.check()
                if self._look() != stamps:
                    return None  # Being replaced at this moment: the next connection looks again.
            except InputError as error:
                self._stamps = stamps
                logger.warning("the certificate stays as it was: %s", error)
                return None
            self._stamps = stamps
            logger.warning("%s: read again, for new connections", self._tls.cert)
            return configuration

    def _look(self) -> _Stamps:
        """What changes when a file is replaced or written to; zeros for one that is not there."""
        found = []
        for path in self._tls.files:
            try:
                seen = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
        return tuple(found)
