"""Runs every model of the list and writes docs/models.md: `python -m tests.breadth [NAME ...]`.

With names it makes the rows of these anew and keeps the others.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

# One thread a process, before any engine starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"

_HEAD = """# Which models work

Every model of this table was traced, profiled, planned and cut in four places: early, in the middle where most tensors
cross (inside branches), late, and where the plan says. Head and tail were run from nothing but the bytes of what
crosses, and their results compared with the unsplit model's.

    {command}

made it with {versions}, one thread. What does not work stands in it with the line that a user gets.

- layers: what can be placed. cuts: different partitions on the frontier, those that are best for some link, load or
  objective; a dash where there are too many to list (then a plan is found by minimum cut).
- PyTorch: "equal to the bit" is what it says, on a CPU. ONNX Runtime: the largest difference from the unsplit model in
  PyTorch (of an `.onnx` file: from the uncut file on ONNX Runtime), relative to the range of the output; the tolerance
  is {tolerance:g}.
- Networks of packages have random weights and small inputs where the architecture allows.

| model | source | layers | cuts | PyTorch | ONNX Runtime | note |
|---|---|---:|---:|---|---|---|
"""


def main(names: Iterable[str] = ()) -> int:
    """Returns 0; what does not work is a row."""
    # Engines cache exported models; these are of no use later.
    with tempfile.TemporaryDirectory(prefix="dnn-surgery-") as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        return _run(set(names))


def _run(names: set[str]) -> int:
    import torch

    from dnn_surgery.execution.engines import ENGINES
    from dnn_surgery.execution.tolerance import TOLERANCE
    from tests.breadth.checked import check
    from tests.breadth.models import MODELS

    torch.set_num_threads(1)
    rows = _rows_so_far() if names else {}
    for entry in MODELS:
        if names and entry.name not in names:
            continue
        row = check(entry)
        cells = (
            row.name,
            row.source,
            row.layers or "",
            row.cuts or "-",
            *(row.results.get(engine, "") for engine in ENGINES),
            row.note,
        )
        rows[entry.name] = "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
        print(rows[entry.name], flush=True)
    packages = ("torch", "onnxruntime", "transformers", "pytorchcv")
    head = _HEAD.format(
        command="python -m tests.breadth",
        versions=", ".join(f"{name} {version(name).partition('+')[0]}" for name in packages),
        tolerance=TOLERANCE,
    )
    lines = [rows[entry.name] for entry in MODELS if entry.name in rows]
    DOCUMENT.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _rows_so_far() -> dict[str, str]:
    """The rows of the document by model."""
    text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    return {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
