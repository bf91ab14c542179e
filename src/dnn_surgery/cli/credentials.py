"""The flags with which a client says whom it trusts and who it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnn_surgery.cli.configuration_sections import ServerSection
    from dnn_surgery.protocol.credentials import Credentials

# The keys of a configuration file that say the same.
CREDENTIAL_KEYS = ("server.tls", "server.token_file")


def add_credential_arguments(parser: argparse._ActionsContainer) -> None:
    """--tls-ca, --tls-cert, --tls-key and --token-file."""
    parser.add_argument(
        "--tls-ca", metavar="FILE", help="connect with TLS, trusting these certificates (system: this machine's)"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="our certificate, for a server that wants one")
    parser.add_argument("--tls-key", metavar="FILE", help="its key")
    parser.add_argument("--token-file", metavar="FILE", help="our token for the server, the file's first line")


def fill_credentials(arguments: argparse.Namespace, server: ServerSection) -> None:
    """Takes what no flag says from the configuration's section."""
    from dnn_surgery.protocol.credentials import SYSTEM_CA

    ca = server.tls.ca
    # A path in the file is relative to it; this one word is no path.
    arguments.tls_ca = arguments.tls_ca or (SYSTEM_CA if ca is not None and ca.name == SYSTEM_CA else ca)
    arguments.tls_cert = arguments.tls_cert or server.tls.cert
    arguments.tls_key = arguments.tls_key or server.tls.key
    arguments.token_file = arguments.token_file or server.token_file


def credentials_of(arguments: argparse.Namespace) -> Credentials:
    """What the flags say.

    Raises:
        InputError: a file cannot be read, is not what it should be, or goes with another one that is not given.
    """
    from dnn_surgery.protocol.credentials import Credentials

    return Credentials(
        ca=arguments.tls_ca, cert=arguments.tls_cert, key=arguments.tls_key, token_file=arguments.token_file
    )
