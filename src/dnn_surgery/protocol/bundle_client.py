"""Fetches a server's bundle into the cache: in pieces, never more than one of them in memory, checked by its digest."""

from __future__ import annotations

import hashlib
import shutil
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dnn_surgery.errors import DeadlineError, ModelError, RemoteError, UnreachableError
from dnn_surgery.execution.model_cache import cache_folder
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.stubs import surgery_pb2 as own
from dnn_surgery.units import format_size

# The first piece may have to wait for a model that is exported; the others take half a mebibyte over a slow link.
FIRST_TIMEOUT_S, PIECE_TIMEOUT_S = 600.0, 120.0

# How often one piece is asked for again after the connection was lost, and the wait before.
RETRIES, WAIT_S = 5, 1.0

MAX_BUNDLE_BYTES = 16 * 2**30

_DIGEST_CHARACTERS = 64

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are here."""

Check = Callable[[Path], str]
"""The fingerprint of the bundle in a file; raises where it is none."""


def fetch_bundle(
    client: InferenceClient,
    check: Check,
    *,
    progress: Progress = lambda _, __: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """The server's bundle as a file in the cache, fetched unless it is there already.

    Args:
        client: of a server; its `model_name` may be empty.
        check: opens a bundle.
        progress: told of each piece.
        sleep: waits so many seconds.

    Raises:
        UnreachableError: no server answers, or the connection was lost for good.
        RemoteError: the server offers none, or sends something else than it announced.
        ModelError: what it sent is no bundle, or the cache cannot be written.
    """
    first = client.bundle_piece(0, timeout_s=FIRST_TIMEOUT_S)
    _check_announced(first, client.address)
    # With its content in the name: what one server said of a fingerprint never stands in for what another one says.
    entry = cache_folder() / "bundles" / f"{first.fingerprint}-{first.sha256[:32]}.bundle"
    try:
        if entry.is_file() and _is_good(entry, first.fingerprint, check):
            return entry
        entry.parent.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(entry.parent).free
        if first.size_bytes > free_bytes:
            raise ModelError(
                f"the bundle of {client.address} takes {format_size(first.size_bytes)}, and {entry.parent} has only "
                f"{format_size(free_bytes)} left"
            )
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=entry.parent) as home:
            unfinished = Path(home) / entry.name
            with unfinished.open("wb") as file:
                _download(client, first, file, progress, sleep)
            if check(unfinished) != first.fingerprint:
                raise RemoteError(f"the bundle of {client.address} is of another model than it announced")
            unfinished.replace(entry)
    except OSError as error:
        raise ModelError(f"cannot write to the cache {entry.parent} ({error.strerror}): set XDG_CACHE_HOME") from error
    return entry


def _download(
    client: InferenceClient, first: own.BundleReply, file: IO[bytes], progress: Progress, sleep: Callable[[float], None]
) -> None:
    digest, done, piece = hashlib.sha256(), 0, first
    while True:
        if (piece.sha256, piece.size_bytes) != (first.sha256, first.size_bytes):
            raise RemoteError(f"the bundle of {client.address} changed while it was fetched: try again")
        done += len(piece.data)
        if not piece.data or done > first.size_bytes:
            raise RemoteError(f"the bundle of {client.address} has not the {first.size_bytes} bytes that it announced")
        digest.update(piece.data)
        file.write(piece.data)
        progress(done, first.size_bytes)
        if done == first.size_bytes:
            break
        piece = _piece(client, done, sleep)
    if digest.hexdigest() != first.sha256:
        raise RemoteError(f"the bundle of {client.address} was damaged on its way: its digest is another one")


def _piece(client: InferenceClient, offset: int, sleep: Callable[[float], None]) -> own.BundleReply:
    """The piece from `offset` on; a lost connection is waited for a while."""
    for _ in range(RETRIES):
        try:
            return client.bundle_piece(offset, timeout_s=PIECE_TIMEOUT_S)
        except (UnreachableError, DeadlineError):
            sleep(WAIT_S)
    return client.bundle_piece(offset, timeout_s=PIECE_TIMEOUT_S)


def _check_announced(first: own.BundleReply, address: str) -> None:
    """The fingerprint becomes a file's name here, so it has to look like one."""
    for name, text in (("fingerprint", first.fingerprint), ("digest", first.sha256)):
        if len(text) != _DIGEST_CHARACTERS or not set(text) <= set(string.hexdigits.lower()):
            raise RemoteError(f"the server at {address} announces a bundle with the {name} {text!r:.80}")
    if not 0 < first.size_bytes <= MAX_BUNDLE_BYTES:
        raise RemoteError(f"the server at {address} announces a bundle of {first.size_bytes} bytes")


def _is_good(entry: Path, fingerprint: str, check: Check) -> bool:
    """Whether what the cache holds can be used; if not, it is fetched again."""
    try:
        return check(entry) == fingerprint
    except ModelError:
        return False
