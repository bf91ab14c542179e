"""`dnn-surgery serve` in a process of its own, and what is run through it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dnn_surgery.edge.sources import fit
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model

REPOSITORY = Path(__file__).parents[2]
FACTORY = "tests.cloud.network:build"


@dataclass(frozen=True)
class Serving:
    """A running server, and the line with which it said that it listens."""

    process: subprocess.Popen[str]
    line: str

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.line)
        return event

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Sends the signal; exit code and what it wrote to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate()
        return self.process.returncode, errors


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dnn_surgery", "serve", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}


@contextmanager
def serving(*arguments: str) -> Iterator[Serving]:
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield Serving(process, line)
    finally:
        process.kill()
        process.communicate()


def refused(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a server that does not come up."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=environment())
    assert done.stdout == ""
    return done.returncode, done.stderr


def save_pictures(folder: Path, sources: Sequence[Path], size: tuple[int, int] | None = None) -> Path:
    """Saves these pictures without loss, in order, into the folder."""
    for index, path in enumerate(sources):
        picture = Image.open(path)
        (picture if size is None else picture.resize(size)).save(folder / f"{index:02}.png")
    return folder


def unsplit_outputs(graph: ModelGraph, folder: Path) -> Iterator[dict[str, Array]]:
    """What the unsplit model gives for each picture of the folder."""
    assert graph.picture is not None
    whole = make_engine(graph, device="cpu", threads=1).part(graph.inputs, graph.outputs)
    for path in sorted(folder.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        yield dict(whole({"picture": fit(pixels, graph.picture)}))


def confidences(reference: str, folder: Path) -> list[float]:
    """The confidence of the unsplit model for each picture of the folder."""
    graph = load_model(reference, trust_model=True)
    return [float(scores.max()) for (scores,) in (one.values() for one in unsplit_outputs(graph, folder))]
