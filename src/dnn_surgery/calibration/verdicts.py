"""What was verified is kept on disk, so that a second start need not verify it again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.guard import Verifier
from dnn_surgery.codecs.transform_file import FRAME_DIGEST_BYTES
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.model_cache import cache_folder
from dnn_surgery.planning.plan import Plan

# Part of every file's name; raised when what counts as agreement changes.
_FORMAT = 1


class CachedVerifier:
    """Asks `make()`'s verifier only about plans that the file at `path` does not know. A :data:`guard.Verifier`.

    The verifier is made when it is first needed: making one runs the unsplit model on every frame. A file that cannot
    be read or written costs time, nothing else.

    Args:
        path: see :func:`verdicts_path`.
        make: makes the verifier.
    """

    def __init__(self, path: Path, make: Callable[[], Verifier]) -> None:
        self.path, self._make = path, make
        self._verifier: Verifier | None = None
        self._known = _read(path)
        self.asked = 0

    def knows(self, plan: Plan) -> bool:
        """Whether the plan was verified before."""
        return _key(plan) in self._known

    def __call__(self, plan: Plan) -> Agreement:
        """See :data:`guard.Verifier`."""
        key = _key(plan)
        if key not in self._known:
            if self._verifier is None:
                self._verifier = self._make()
            self._known[key] = self._verifier(plan)
            self.asked += 1
            _write(self.path, self._known)
        return self._known[key]


def verdicts_path(fingerprint: str, frames: Sequence[bytes], *, accuracy: float, rule: str, engine: str) -> Path:
    """Where the verdicts on a model, the frames with these digests, an accuracy, a rule and an engine are kept."""
    digest = hashlib.sha256(
        json.dumps([_FORMAT, fingerprint, accuracy, rule, engine, [one.hex() for one in frames]]).encode()
    )
    return cache_folder() / "verdicts" / f"{digest.hexdigest()[:32]}.json"


def frame_digest(frame: Mapping[str, Array]) -> bytes:
    """The first bytes of the SHA-256 over names, datatypes, shapes and elements."""
    digest = hashlib.sha256()
    for name in sorted(frame):
        digest.update(f"{name} {frame[name].dtype} {frame[name].shape}".encode())
        digest.update(frame[name].tobytes())
    return digest.digest()[:FRAME_DIGEST_BYTES]


def _key(plan: Plan) -> str:
    sent = sorted((sent.tensor, sent.codec) for sent in plan.sent)
    edge = hashlib.sha256("\n".join(sorted(plan.edge)).encode()).hexdigest()[:16]
    return " ".join((edge, *(f"{tensor}={codec}" for tensor, codec in sent)))


def _read(path: Path) -> dict[str, Agreement]:
    try:
        return {key: Agreement(*values) for key, values in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError, InputError):
        return {}


def _write(path: Path, known: Mapping[str, Agreement]) -> None:
    record = {key: [one.agreeing, one.frames, one.decided] for key, one in known.items()}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, whoever else writes.
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file)
        Path(name).replace(path)
