"""Who is let in, asked before a request's body is read. The contract; the cloud's own gate knows tokens and quotas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Metadata = Iterable[tuple[str, str | bytes]]


class Gate:
    """Lets everyone in, told apart by their connection."""

    @contextmanager
    def enter(self, metadata: Metadata, *, peer: str, certificate_name: str | None = None) -> Iterator[str]:  # noqa: ARG002
        """The caller's name while the `with` block runs, in which its request is read and answered.

        Args:
            metadata: what the request says of itself; keys in lower case.
            peer: the other end of the connection, as gRPC names it.
            certificate_name: the common name in the client's certificate, where one was asked for and verified.

        Raises:
            UnauthenticatedError: nobody knows the caller.
            BusyError: the caller has used up what it may.
        """
        yield certificate_name or peer

    def charge(self, name: str, size_bytes: int) -> None:
        """Notes a request of the caller `name`, once its size is known.

        Raises:
            BusyError: that is more than the caller may.
        """
