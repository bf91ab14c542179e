"""Models in the form that parts are made from, on disk: written once, found again by the graph's fingerprint."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dnn_surgery.errors import ModelError

# Part of every entry's name; raised when what is written changes, so that entries of older versions are not read.
FORMAT = 1


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/dnn-surgery``, or ``~/.cache/dnn-surgery``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dnn-surgery"


def cached(fingerprint: str, write: Callable[[Path], None]) -> Path:
    """The folder that `write` filled for this fingerprint, now or earlier.

    It appears whole or not at all: it is filled under another name and then renamed, so that a process that is killed
    leaves nothing that another one would read, and two that write at once do not mix.

    Raises:
        ModelError: the cache cannot be written.
    """
    entry = cache_folder() / "onnx" / f"{fingerprint}-{FORMAT}"
    if entry.is_dir():
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=entry.parent))
    except OSError as error:
        raise ModelError(f"cannot write to the cache {entry.parent} ({error.strerror}): set XDG_CACHE_HOME") from error
    try:
        write(unfinished)
        try:
            unfinished.rename(entry)
        except OSError as error:
            if not entry.is_dir():
                raise ModelError(f"cannot write to the cache {entry} ({error.strerror})") from error
    except OSError as error:
        raise ModelError(f"cannot write to the cache {entry.parent} ({error.strerror}): set XDG_CACHE_HOME") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return entry
