"""Ways to send a frame, each judged by the very same guard: pictures, streams, tensors of a cut.

A family is one kind of way from coarse to fine (the qualities of JPEG, the steps of a transform); the coarsest that is
proved is found by bisection.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from benchmarks.codec_cases import Case
from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.answers import Outputs
from dnn_surgery.calibration.transform_learning import Learnt, learn
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.evaluation.strategies import measure_codec
from dnn_surgery.evaluation.video_stream import FACTORS, Stream, send
from dnn_surgery.execution.engine import Array
from dnn_surgery.planning import CodecCost

QUALITIES = tuple(range(5, 101))
INTEGERS = tuple(f"int{bits}c+zstd" for bits in (3, 4, 5, 6, 7, 8))
# From coarse to fine, each about a tenth more bytes than the one before.
STEPS = tuple(float(f"{step:.3g}") for step in np.geomspace(2.5, 0.004, 26))
_COST_FRAMES = 24


@dataclass
class Way:
    """A way to send a frame.

    `arrive` gives what the network makes of what arrives of the frame of a number, and the bytes that travelled.
    `measure` takes the seconds of the codecs. `frames`: the numbers of the frames that it is judged on. `sizes`: bytes
    of each frame that was sent. `place`: the cut, where there is one. `counted`: the agreement over all frames, once it
    is known; `failed_at`: an accuracy that was not proved.
    """

    name: str
    arrive: Callable[[int], tuple[Outputs, int]]
    measure: Callable[[], Mapping[str, CodecCost]]
    frames: range
    sizes: dict[int, int] = field(default_factory=dict)
    place: str = ""
    counted: Agreement | None = None
    failed_at: float = 1.0
    size_bytes: float = 0.0

    def passes(self, case: Case, accuracy: float) -> bool:
        """Whether the accuracy is proved, over all its frames; as soon as it cannot be any more, no."""
        if self.counted is None and accuracy < self.failed_at:
            key = f"{self.place} {self.name}"
            known = case.memory.verdict(key, accuracy)
            if known is None:
                found = case.verifier.to_prove(accuracy).judge(self._outputs, frames=self.frames)
                self.count_bytes()
                case.memory.keep(key, accuracy, found, self.size_bytes)
            else:
                found, self.size_bytes = known
            print(
                f"  {self.name} at {accuracy:g}: {found.agreeing} of {found.frames}, {self.size_bytes:.0f} B",
                flush=True,
            )
            if found.decided:
                self.failed_at = accuracy
            else:
                self.counted = found
        return self.counted is not None and self.counted.bound >= accuracy

    def count_bytes(self) -> None:
        """Of a frame, the mean of those that were sent so far; all of them once it is proved."""
        self.size_bytes = statistics.fmean(self.sizes.values())

    @cached_property
    def costs(self) -> Mapping[str, CodecCost]:
        """For each tensor: bytes over all frames, seconds over some."""
        measured = self.measure()
        share = self.size_bytes / sum(cost.size_bytes for cost in measured.values())
        return {
            tensor: CodecCost(cost.name, cost.size_bytes * share, cost.encode_s, cost.decode_s)
            for tensor, cost in measured.items()
        }

    @property
    def coding_s(self) -> float:
        """There and back, both on this machine."""
        return sum(cost.encode_s + cost.decode_s for cost in self.costs.values())

    def _outputs(self, index: int) -> Outputs:
        outputs, self.sizes[index] = self.arrive(index)
        return outputs


@dataclass
class Family:
    """Ways of one kind from coarse to fine, each made when it is looked at.

    `doubtful`: mostly not even the finest is proved, so that it is looked at first.
    """

    kind: str
    levels: int
    make: Callable[[int], Way]
    doubtful: bool = False
    made: dict[int, Way] = field(default_factory=dict)

    def coarsest(self, case: Case, accuracy: float, *, below_bytes: float = float("inf")) -> Way | None:
        """The coarsest that is proved, None if not even the finest is, or if what is left takes too many bytes."""
        low, high = -1, self.levels
        if self.doubtful:
            high -= 1
            if not self._way(high).passes(case, accuracy):
                return None
        while high - low > 1:
            # Nearer to the coarse end than the middle: what fails is given up after few frames, what passes takes all.
            middle = low + max((high - low) // 3, 1)
            way = self._way(middle)
            if way.passes(case, accuracy):
                high = middle
            elif way.size_bytes >= below_bytes:
                return None
            else:
                low = middle
        return self._way(high) if high < self.levels else None

    def _way(self, level: int) -> Way:
        if level not in self.made:
            self.made[level] = self.make(level)
        return self.made[level]


def pictures(case: Case) -> Iterator[Family]:
    """JPEG (chroma halved and full, tables of its own) and WebP at all qualities."""
    for kind, form in (("jpeg", "jpeg{}"), ("jpeg", "jpeg{}-444"), ("webp", "webp{}")):
        yield Family(kind, len(QUALITIES), partial(_picture_at, case, form), doubtful=True)


def _picture_at(case: Case, form: str, level: int) -> Way:
    return _picture(case, form.format(QUALITIES[level]))


def lossless_picture(case: Case) -> Way:
    """What loses nothing and is smaller than PNG."""
    way = _picture(case, "webp-lossless")
    way.sizes = {index: len(codecs.encode(way.name, case.judged[index])) for index in way.frames}
    return _exact(way)


def _exact(way: Way) -> Way:
    way.count_bytes()
    way.counted = Agreement(len(way.frames), len(way.frames))
    return way


def _picture(case: Case, codec: str) -> Way:
    (tensor,) = case.engine.graph.inputs

    def arrive(index: int) -> tuple[Outputs, int]:
        pixels, size_bytes = travel(codec, case.judged[index])
        return case.whole(case.inputs_of(pixels)), size_bytes

    def measure() -> Mapping[str, CodecCost]:
        return {tensor: _cost(codec, [case.judged[index] for index in _spread(range(len(case.judged)))])}

    return Way(codec, arrive, measure, range(len(case.judged)))


def stream(case: Case) -> Family:
    """H.264, each film a stream of its own; judged on the films' frames alone, which are the first."""
    (tensor,) = case.engine.graph.inputs

    def make(level: int) -> Way:
        factor = FACTORS[level]
        sent = [send(frames[15:], factor) for frames in case.films.values()]
        arrived = [frame for one in sent for frame in one.frames]
        mean_bytes = _mean(sent, "size_bytes")
        cost = CodecCost(f"h264 crf {factor}", mean_bytes, _mean(sent, "encode_s"), _mean(sent, "decode_s"))

        def arrive(index: int) -> tuple[Outputs, int]:
            return case.whole(case.inputs_of(arrived[index])), round(mean_bytes)

        return Way(cost.name, arrive, lambda: {tensor: cost}, range(case.film_frames))

    return Family("h264", len(FACTORS), make, doubtful=True)


def _mean(sent: Sequence[Stream], key: str) -> float:
    frames = sum(len(one.frames) for one in sent)
    return float(sum(len(one.frames) * getattr(one, key) for one in sent) / frames)


class Cut:
    """The tensors behind a layer: as they are without loss, as integers, as transforms learnt from the first frames."""

    def __init__(self, case: Case, layer: str) -> None:
        self.case, self.layer = case, layer
        graph = case.engine.graph
        self.edge = graph.edge_layers(layer)
        self.tensors = graph.boundary(self.edge)

    def lossless(self) -> Way:
        """Need not be judged; its bytes are counted."""
        way = self._way("zstd", dict.fromkeys(self.tensors, "zstd"))
        for index in way.frames:
            made = self._made(index)
            way.sizes[index] = sum(len(codecs.encode(way.name, made[tensor])) for tensor in self.tensors)
        return _exact(way)

    def families(self, *, weighted: bool = True) -> tuple[Family, Family]:
        """Transforms, integers. `weighted`: by what the answers depend on."""
        case = self.case
        learnt: dict[float, dict[str, str]] = {}
        for one in case.memory.learnt(self.tensors, STEPS, weighted=weighted) or self._learn(weighted=weighted):
            codec = Transform(one.parameters)
            codecs.register(codec)
            learnt.setdefault(one.step, {})[one.parameters.tensor] = codec.id

        def transform(level: int) -> Way:
            alike = "" if weighted else " all channels alike"
            return self._way(f"klt {STEPS[level]:g}{alike}", learnt[STEPS[level]])

        def integers(level: int) -> Way:
            return self._way(INTEGERS[level], dict.fromkeys(self.tensors, INTEGERS[level]))

        return Family("klt", len(STEPS), transform), Family("integers", len(INTEGERS), integers)

    def _learn(self, *, weighted: bool) -> list[Learnt]:
        case = self.case
        frames = [case.inputs_of(frame) for frame in case.learn]
        found = list(learn(case.engine, frames, self.tensors, steps=STEPS, weighted=weighted))
        case.memory.keep_learnt(found, weighted=weighted)
        return found

    def _made(self, index: int) -> Mapping[str, Array]:
        return self.case.verifier.cuts.of(self.edge).made(index)

    def _way(self, name: str, of: Mapping[str, str]) -> Way:
        def arrive(index: int) -> tuple[Outputs, int]:
            made = self._made(index)
            arrived = {tensor: travel(of[tensor], made[tensor]) for tensor in self.tensors}
            received = {tensor: array for tensor, (array, _) in arrived.items()}
            outputs = self.case.verifier.cuts.of(self.edge).tail({**made, **received})
            return outputs, sum(size_bytes for _, size_bytes in arrived.values())

        def measure() -> Mapping[str, CodecCost]:
            some = [self._made(index) for index in _spread(range(len(self.case.judged)))]
            return {tensor: _cost(of[tensor], [made[tensor] for made in some]) for tensor in self.tensors}

        return Way(name, arrive, measure, range(len(self.case.judged)), place=self.layer)


def travel(codec: str, array: Array) -> tuple[Array, int]:
    """What arrives of a tensor, and the bytes that travelled."""
    found = codecs.get(codec)
    payload = found.encode(array)
    return found.decode(payload, array.dtype.name, array.shape), len(payload)


def _spread(frames: range) -> range:
    """Some, evenly."""
    return frames[:: -(-len(frames) // _COST_FRAMES)]


def _cost(codec: str, arrays: Sequence[Array]) -> CodecCost:
    measured = measure_codec(codec, arrays)
    return CodecCost(codec, measured.size_bytes, measured.encode_s, measured.decode_s)
