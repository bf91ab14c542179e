"""What was judged is kept in build/, so that a run that was interrupted goes on where it was, and one that only has to
take the times anew is done in a minute. `rm -r build/codecs` forgets it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.transform_learning import Learnt
from dnn_surgery.calibration.verdicts import frame_digest
from dnn_surgery.codecs.transform_file import TransformParameters
from dnn_surgery.execution.engine import Array

FOLDER = Path("build/codecs")


@dataclass
class Memory:
    """A file of verdicts, and a folder of learnt transforms, for one network on one row of frames."""

    folder: Path

    @classmethod
    def of(cls, fingerprint: str, engine: str, frames: Sequence[Array]) -> Memory:
        """The one for a network's fingerprint, what runs it, and the frames it is judged on."""
        digest = hashlib.sha256(f"{fingerprint} {engine}".encode())
        for frame in frames:
            digest.update(frame_digest({"": frame}))
        return cls(FOLDER / digest.hexdigest()[:16])

    def verdict(self, way: str, accuracy: float) -> tuple[Agreement, float] | None:
        """How a way did when this accuracy was asked for, with its bytes a frame."""
        found = self._read().get(f"{way} at {accuracy:g}")
        return None if found is None else (Agreement(int(found[0]), int(found[1]), bool(found[2])), found[3])

    def keep(self, way: str, accuracy: float, agreement: Agreement, size_bytes: float) -> None:
        """Writes it down."""
        known = self._read() | {
            f"{way} at {accuracy:g}": [agreement.agreeing, agreement.frames, agreement.decided, size_bytes]
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(known, indent=1), encoding="utf-8")

    def learnt(self, tensors: Sequence[str], steps: Sequence[float], *, weighted: bool) -> list[Learnt]:
        """The transforms that were learnt; none if one is missing."""
        paths = {(tensor, step): self._transform(tensor, step, weighted) for tensor in tensors for step in steps}
        if not all(path.exists() for path in paths.values()):
            return []
        return [Learnt(TransformParameters.load(path), step) for (_, step), path in paths.items()]

    def keep_learnt(self, learnt: Sequence[Learnt], *, weighted: bool) -> None:
        """Writes them down."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for one in learnt:
            one.parameters.save(self._transform(one.parameters.tensor, one.step, weighted))

    def _transform(self, tensor: str, step: float, weighted: bool) -> Path:
        name = hashlib.sha256(f"{tensor} {step} {weighted}".encode()).hexdigest()[:16]
        return self.folder / f"{name}.klt"

    @property
    def _path(self) -> Path:
        return self.folder / "verdicts.json"

    def _read(self) -> dict[str, list[float]]:
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
