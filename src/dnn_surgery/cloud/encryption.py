"""The server's side of TLS: its certificate, and whose clients' certificates it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from dnn_surgery.protocol.credentials import check_pair, read_pem


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Files in PEM. With `client_ca`, only clients whose certificate it signed get through the handshake.

    Raises:
        InputError: a file cannot be read, or key and certificate do not belong together.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        check_pair(self.cert, self.key)
        if self.client_ca is not None:
            read_pem(self.client_ca, "CERTIFICATE")

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC listens with."""
        pair = (read_pem(self.key, "PRIVATE KEY"), read_pem(self.cert, "CERTIFICATE"))
        ca = None if self.client_ca is None else read_pem(self.client_ca, "CERTIFICATE")
        return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)
