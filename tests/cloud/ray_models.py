"""What replicas build, by a name that their processes can import, and which processes they are."""

from __future__ import annotations

from pathlib import Path

from dnn_surgery.execution.engine import Engine
from tests.cloud.network import make

# In the environment of a test's Ray: by it the processes that are its own are known.
RAY_MARK = "DNN_SURGERY_TEST_RAY"


def branches() -> list[Engine]:
    return [make()]


def replica_processes(mark: object) -> list[int]:
    """Those of a Ray that was started with this mark."""
    said = f"{RAY_MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                ours = said in (folder / "environ").read_bytes().split(b"\0")
                if ours and (folder / "cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                    found.append(int(folder.name))
            except OSError:
                continue  # ended meanwhile, or another user's
    return found
