"""Bearer tokens: a file with one client a line, ``name:token`` or ``name:sha256:HEX``, read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

from dnn_surgery.errors import InputError

logger = logging.getLogger(__name__)

_HASHED = "sha256:"
_LEAST_CHARACTERS = 16


class TokenFile:
    """Who a token belongs to.

    Tokens are compared as SHA-256 sums and every line is looked at, so how long an answer takes says nothing of them.

    Raises:
        InputError: the file cannot be read, or a line is malformed; the message names it. Of a file that becomes so
            later the last good state stays in force, and a warning is logged.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._stamp = self._look()
        self._names = read_tokens(self._path)

    def name_of(self, token: str) -> str | None:
        """The client whose token this is."""
        self._refresh()
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for known, name in self._names:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._names = read_tokens(self._path)
        except InputError as error:
            logger.warning("tokens stay as they were: %s", error)
        else:
            logger.warning("%s: read again, %d clients", self._path, len(self._names))

    def _look(self) -> tuple[int, int, int]:
        try:
            seen = self._path.stat()
        except OSError as error:
            raise InputError(f"cannot read tokens {self._path}: {error.strerror}") from error
        return seen.st_mtime_ns, seen.st_size, seen.st_ino


def read_tokens(path: Path) -> tuple[tuple[bytes, str], ...]:
    """SHA-256 sums and names. Empty lines and those that begin with ``#`` say nothing.

    Raises:
        InputError: the file cannot be read, or a line is malformed; the message names it, not the token.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read tokens {path}: {error}") from error
    found: dict[bytes, str] = {}
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if not line or line.startswith("#"):
            continue
        name, colon, token = (part.strip() for part in line.partition(":"))
        digest = _digest(token) if colon and name else None
        if digest is None:
            raise InputError(
                f"{path}:{number}: expected name:token with {_LEAST_CHARACTERS} characters or more, or name:sha256:HEX"
            )
        if digest in found:
            raise InputError(f"{path}:{number}: {name} has the same token as {found[digest]}")
        found[digest] = name
    if not found:
        raise InputError(f"{path}: no tokens in it")
    return tuple(found.items())


def _digest(token: str) -> bytes | None:
    if token.startswith(_HASHED):
        try:
            digest = bytes.fromhex(token.removeprefix(_HASHED))
        except ValueError:
            return None
        return digest if len(digest) == hashlib.sha256().digest_size else None
    return hashlib.sha256(token.encode()).digest() if len(token) >= _LEAST_CHARACTERS else None
