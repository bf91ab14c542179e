"""Memory of `serve` and `run` of an ONNX file, from their start on, beside one session of the whole model.

Real processes over a real socket, each with a cold cache. The goal leaves room for one model, a third of it more, and
the parts that are compiled in the background: (peak - budget) / (peak of the process that holds one session alone).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import onnx_ir as ir
from PIL import Image

from benchmarks.figure import Figure
from dnn_surgery.execution.onnx_engine import DEFAULT_BUDGET_BYTES, OnnxEngine
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.pictures import example_pixels
from dnn_surgery.model.reference import load_model

NETWORKS = ("resnet18", "vgg16")
# More than make a cut hot.
PICTURES = 16
MIB = 2**20

_WHOLE = """
import sys
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options)
(read,) = session.get_inputs()
session.run(None, {read.name: np.zeros(read.shape, np.uint8)})
"""


def run() -> list[Figure]:
    """Peaks of `serve` and `run` (planned, and with a forced cut in the middle) of the two networks."""
    figures = []
    for name in NETWORKS:
        with tempfile.TemporaryDirectory(prefix="dnn-surgery-") as folder:
            home = Path(folder)
            model, middle = _write(name, home)
            whole = _peak_of([sys.executable, "-c", _WHOLE, str(model)], home)
            figures.append(Figure(f"{name}: one session of the whole, peak", whole / MIB, "MiB"))
            for title, options in (("forced cut", ["--cut", middle]), ("planned", [])):
                peaks = _served(model, home, options)
                for command, peak in peaks.items():
                    prefix = f"{name}: {command}, {title}"
                    figures.append(Figure(f"{prefix}, peak", peak / MIB, "MiB"))
                    room = Figure(f"{prefix}, without the budget", (peak - DEFAULT_BUDGET_BYTES) / whole, at_most=1.3)
                    figures.append(room)
    return figures


def _write(name: str, home: Path) -> tuple[Path, str]:
    """The network as an ONNX file with its weights beside it, and pictures; and the layer in its middle."""
    graph = load_model(name)
    os.environ["XDG_CACHE_HOME"] = str(home / "export")
    engine = OnnxEngine(graph, threads=1)
    path = home / f"{name}.onnx"
    ir.save(engine.source.model(graph.inputs, graph.outputs), path, external_data=f"{name}.bin")
    picture = graph.picture or Picture("picture", 224, 224)
    (home / "pictures").mkdir()
    for index in range(PICTURES):
        Image.fromarray(example_pixels(picture)[0]).save(home / "pictures" / f"{index}.png")
    loaded = load_model(str(path))
    return path, loaded.layers[len(loaded.layers) // 2].name


def _served(model: Path, home: Path, options: list[str]) -> dict[str, int]:
    """Peaks of a server and of a device that sends it the pictures."""
    serve = _start(["serve", str(model), "--port", "0", "--threads", "1", "--json"], home / "cloud")
    try:
        address = json.loads(_lines(serve).readline())["address"]
        arguments = ["run", str(model), "--server", address, "--source", str(home / "pictures"), "--threads", "1"]
        run_peak = _peak(_start([*arguments, *options, "--bandwidth", "20Mbit/s"], home / "device"))
        status = Path(f"/proc/{serve.pid}/status").read_text(encoding="utf-8")
        peaks = {"serve": _field(status, "VmHWM"), "run": run_peak}
    finally:
        serve.kill()
        serve.communicate()
    return peaks


def _start(arguments: list[str], cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dnn_surgery", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(cache),
    )


def _environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}


def _peak_of(command: list[str], home: Path) -> int:
    return _peak(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(home)))


def _peak(process: subprocess.Popen[str]) -> int:
    """Bytes that a process held at most; waits for its end.

    Asked again and again, because what is known of it after its end counts the process that it was forked from.
    """
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        peak = max(peak, _field(status, "VmHWM")) if "VmHWM" in status else peak
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed with {process.returncode}")
    return peak


def _lines(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise RuntimeError("the process writes nowhere")
    return process.stdout


def _field(status: str, name: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
