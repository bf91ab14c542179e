"""The bundle that the server offers: made when a device first asks, read in pieces, gone with the server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Any

from dnn_surgery.errors import RemoteError, SurgeryError
from dnn_surgery.execution.model_cache import cache_folder
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_extra import require_onnx
from dnn_surgery.protocol.dataplane import BundleFile

_CHUNK_BYTES = 2**20

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function where it disturbs nothing that the engine does."""


class Bundles:
    """One graph's bundle, on disk in a file that has no name, so that nothing is left of it whatever happens."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._file: IO[bytes] | None = None
        self._making: asyncio.Future[BundleFile] | None = None

    async def get(self, in_thread: InThread) -> BundleFile:
        """The bundle; who asks while it is made waits for the same one.

        Raises:
            RemoteError: it cannot be made here; the message says why.
        """
        if self._making is None:
            self._making = asyncio.ensure_future(in_thread(self._make))
        making = self._making
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The next one who asks may have more luck: a disk is no longer full.
            self._making = None
            if isinstance(error, (SurgeryError, OSError)):
                raise RemoteError(f"no bundle of {self._graph.name} can be made here: {error}") from error
            raise

    def close(self) -> None:
        """Removes the file. May be called again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _make(self) -> BundleFile:
        require_onnx()
        from dnn_surgery.execution.export_bundle import pack

        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the server
        try:
            pack(self._graph, file)
            file.flush()
            digest, offset = hashlib.sha256(), 0
            while data := os.pread(file.fileno(), _CHUNK_BYTES, offset):
                digest.update(data)
                offset += len(data)
        except BaseException:
            file.close()
            raise
        self._file = file
        return BundleFile(
            model_name=self._graph.name,
            fingerprint=self._graph.fingerprint,
            size_bytes=offset,
            sha256=digest.hexdigest(),
            read=lambda start, count: os.pread(file.fileno(), count, min(start, offset)),
        )
