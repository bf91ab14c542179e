"""What a camera's user would send instead of a tensor: each frame of a real video as a jpeg, or the video as H.264.

Both are judged by the same guard, on the same frames, by the answers that the network gives to what arrives; of the
settings that are proved the smallest counts. H.264 is treated kindly: its frames are the video's own neighbours, none
is ever lost, and the mean of a stream is what every frame takes. Sent less often, or after a loss, they are larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from dnn_surgery.calibration.agreement import Agreement, frames_needed
from dnn_surgery.calibration.candidates import QUALITIES
from dnn_surgery.calibration.verifier import FrameVerifier, travel
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.errors import SourceError
from dnn_surgery.evaluation.contenders import fixed
from dnn_surgery.evaluation.pictures import picture_of
from dnn_surgery.evaluation.regret import Experiment, Outcomes, play
from dnn_surgery.evaluation.strategies import measure_codec
from dnn_surgery.evaluation.video_stream import FACTORS, send
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.planning import CodecCost, Link
from dnn_surgery.units import format_size

MOST_FRAMES = 300
_COST_FRAMES = 24

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class VideoUpload:
    """The smallest setting that is proved, or the best one that is not; `cost` is of one frame, mean bytes."""

    kind: Literal["jpeg", "h264"]
    cost: CodecCost
    agreement: Agreement
    accuracy: float

    @property
    def is_proved(self) -> bool:
        """Whether the guard lets it pass."""
        return self.agreement.bound >= self.accuracy

    @property
    def text(self) -> str:
        """What it is, for people."""
        seen = f"{self.agreement.agreeing} of {self.agreement.frames} frames get the model's answer"
        what = f"{self.cost.name}, {format_size(self.cost.size_bytes)} a frame, {seen}"
        if self.is_proved:
            return f"{what}: {self.agreement.bound:.3f} is proved"
        return f"left out, no setting is proved at {self.accuracy:g}; the best: {what}"


def video_uploads(
    graph: ModelGraph, video: str, accuracy: float, edge_slowdown: float, report: Report = lambda _: None
) -> tuple[VideoUpload, VideoUpload]:
    """A jpeg and a stream of the video's first :data:`MOST_FRAMES` frames.

    Args:
        graph: whose answers have to stay what they are. accuracy: of what share, proved.
        edge_slowdown: how much slower than here the device codes.

    Raises:
        SourceError: the video cannot be read, has too few frames to prove anything, or there is no encoder.
        ModelError: the model takes no pictures.
    """
    picture = picture_of(graph)
    with open_source(video) as source:
        frames = [fit(frame.pixels, picture) for frame in islice(source, MOST_FRAMES)]
    if len(frames) < (needed := frames_needed(accuracy)):
        raise SourceError(f"{video}: {len(frames)} frames cannot prove {accuracy:g}, which takes {needed}")
    report(f"{graph.name}: {len(frames)} frames of {video}")
    judge = _Judge(graph, frames, accuracy)
    found = []
    for kind, settings in (("jpeg", _jpegs(frames)), ("h264", _streams(frames))):
        report(f"{graph.name}: {kind} on {len(frames)} frames of {video}")
        found.append(_smallest(kind, settings, judge, edge_slowdown))  # type: ignore[arg-type]
    return found[0], found[1]


def play_upload(experiment: Experiment, upload: VideoUpload) -> Outcomes:
    """The constant policy that sends every frame so. The other policies know nothing of this codec."""
    first = next(layer for layer in experiment.problem.layers if not layer.inputs)
    (tensor,) = first.outputs
    problem = experiment.problem.with_codecs({tensor.name: [*tensor.ways, upload.cost]})
    plan = problem.cost(edge=[first.name], link=Link(1e6), codecs={tensor.name: upload.cost.name})
    return play(replace(experiment, problem=problem), f"cloud-{upload.kind}", fixed(plan))


@dataclass(frozen=True, slots=True)
class _Setting:
    """What it takes on this machine, and makes the frames that arrive."""

    cost: CodecCost
    arrived: Callable[[], Iterator[Array]]


class _Judge:
    """How often the frames that arrive get the answers of those that were sent."""

    def __init__(self, graph: ModelGraph, frames: Sequence[Array], accuracy: float) -> None:
        engine = make_engine(graph, threads=1)
        (self._input,) = graph.inputs
        self._whole = engine.part(graph.inputs, graph.outputs)
        self._verifier = FrameVerifier(engine, [{self._input: frame} for frame in frames], accuracy=accuracy)
        self.accuracy = accuracy

    def __call__(self, setting: _Setting) -> Agreement:
        arrived = list(setting.arrived())
        return self._verifier.judge(lambda index: self._whole({self._input: arrived[index]}))


def _jpegs(frames: Sequence[Array]) -> Iterator[_Setting]:
    """From coarse to fine."""
    spread = frames[:: -(-len(frames) // _COST_FRAMES)]
    for codec in (f"jpeg{quality}" for quality in QUALITIES):
        found = measure_codec(codec, spread)
        cost = CodecCost(codec, found.size_bytes, found.encode_s, found.decode_s)
        yield _Setting(cost, lambda codec=codec: (travel(codec, frame) for frame in frames))  # type: ignore[misc]


def _streams(frames: Sequence[Array]) -> Iterator[_Setting]:
    """From coarse to fine."""
    for factor in FACTORS:
        stream = send(list(frames), factor)
        cost = CodecCost(f"h264-crf{factor}", stream.size_bytes, stream.encode_s, stream.decode_s)
        yield _Setting(cost, lambda stream=stream: iter(stream.frames))  # type: ignore[misc]


def _smallest(
    kind: Literal["jpeg", "h264"], settings: Iterator[_Setting], judge: _Judge, edge_slowdown: float
) -> VideoUpload:
    """The first that is proved, else the one of the best bound."""
    tried: list[VideoUpload] = []
    for setting in settings:
        cost = replace(setting.cost, encode_s=setting.cost.encode_s * edge_slowdown)
        tried.append(VideoUpload(kind, cost, judge(setting), judge.accuracy))
        if tried[-1].is_proved:
            return tried[-1]
    return max(tried, key=lambda one: one.agreement.bound)
