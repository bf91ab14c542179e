"""A frontier as a file: numpy's zipped arrays, without pickles, and the names as JSON."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dnn_surgery.errors import ProblemError
from dnn_surgery.planning.frontier import Frontier

SCHEMA = "dnn-surgery/frontier/1"

_ARRAYS = {"columns": np.float64, "edge_bits": np.uint8, "start": np.intp, "ways": np.intp}
# What zipfile, zlib, numpy and json raise for bytes that are not what they expect.
_DAMAGED = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, MemoryError, OverflowError),
    *(NotImplementedError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile),
)
_NAMES = ("name", "layers", "way_tensor", "way_codec", "way_bytes", "partitions", "combinations")


def save(frontier: Frontier, path: str | Path) -> None:
    """See :meth:`Frontier.save`."""
    record = {"schema": SCHEMA, **{key: getattr(frontier, key) for key in _NAMES}}
    text = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    arrays: dict[str, Any] = {key: getattr(frontier, key) for key in _ARRAYS}
    try:
        with Path(path).open("wb") as file:
            np.savez_compressed(file, record=text, **arrays)
    except OSError as error:
        raise ProblemError(f"cannot write frontier {path}: {error.strerror}") from error


def load(path: str | Path) -> Frontier:
    """See :meth:`Frontier.load`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(bytes(file["record"]).decode())
            arrays = {key: file[key].astype(kind, casting="same_kind") for key, kind in _ARRAYS.items()}
    except OSError as error:
        raise ProblemError(f"cannot read frontier {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise ProblemError(f"{path}: not a frontier: {error}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or set(record) != {"schema", *_NAMES}:
        raise ProblemError(f"{path}: not a frontier of schema {SCHEMA!r}")
    _check(record, arrays, path)
    return Frontier(
        name=str(record["name"]),
        layers=tuple(record["layers"]),
        way_tensor=tuple(record["way_tensor"]),
        way_codec=tuple(record["way_codec"]),
        way_bytes=tuple(record["way_bytes"]),
        partitions=record["partitions"],
        combinations=record["combinations"],
        **arrays,
    )


def _check(record: dict[str, Any], arrays: dict[str, Any], path: str | Path) -> None:
    """Raises ProblemError where parts do not fit: a wrong index would otherwise show in the middle of a run."""
    rows = arrays["columns"].shape[-1] if arrays["columns"].ndim == 2 else -1
    lists = all(isinstance(record[key], list) for key in ("layers", "way_tensor", "way_codec", "way_bytes"))
    ways = len(record["way_tensor"]) if lists else -1
    start = arrays["start"]
    fits = (
        lists
        and rows > 0
        and arrays["columns"].shape == (6, rows)
        and bool(np.isfinite(arrays["columns"]).all())
        and arrays["edge_bits"].shape == (rows, -(-len(record["layers"]) // 8))
        and start.shape == (rows + 1,)
        and arrays["ways"].ndim == 1
        and start[0] == 0
        and start[-1] == len(arrays["ways"])
        and bool((np.diff(start) >= 0).all())
        and ways == len(record["way_codec"]) == len(record["way_bytes"])
        and all(isinstance(name, str) for key in ("layers", "way_tensor", "way_codec") for name in record[key])
        and all(isinstance(size, (int, float)) for size in record["way_bytes"])
        and bool(((arrays["ways"] >= 0) & (arrays["ways"] < ways)).all())
    )
    if not fits:
        raise ProblemError(f"{path}: the parts of this frontier do not fit each other")
