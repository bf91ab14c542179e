"""Ways to send a frame, each judged by the very same guard: pictures, streams, tensors of a cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.codec_cases import Case
from dnn_surgery import codecs
from dnn_surgery.calibration.agreement import Agreement
from dnn_surgery.calibration.answers import Outputs
from dnn_surgery.calibration.candidates import INTEGERS, PICTURES
from dnn_surgery.calibration.transform_learning import learn
from dnn_surgery.calibration.verifier import travel
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.evaluation.strategies import measure_codec
from dnn_surgery.evaluation.video_stream import FACTORS, send
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.split import Tail
from dnn_surgery.planning import CodecCost

STEPS = (0.002, 0.006, 0.015, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
_COST_FRAMES = 24


@dataclass
class Way:
    """A way to send what a cut needs: codecs with their mean costs for each tensor, and how to judge it.

    `counted` is the agreement over all frames, once it is known.
    """

    name: str
    costs: Mapping[str, CodecCost]
    judge: Callable[[float], Agreement]
    counted: Agreement | None = None

    def agreement(self, accuracy: float) -> Agreement:
        """Over all frames, or over as many as show that the accuracy cannot be proved."""
        if self.counted is not None:
            return self.counted
        found = self.judge(accuracy)
        if not found.decided:
            self.counted = found
        return found

    @property
    def size_bytes(self) -> float:
        """Of a frame."""
        return sum(cost.size_bytes for cost in self.costs.values())

    @property
    def coding_s(self) -> float:
        """There and back, both on this machine."""
        return sum(cost.encode_s + cost.decode_s for cost in self.costs.values())


def smallest(ways: Iterable[Way], accuracy: float) -> tuple[Way, Agreement] | None:
    """The way of the fewest bytes that is proved, tried from the smallest on."""
    for way in sorted(ways, key=lambda one: one.size_bytes):
        agreement = way.agreement(accuracy)
        if agreement.bound >= accuracy:
            return way, agreement
    return None


def pictures(case: Case) -> list[Way]:
    """JPEG (chroma halved and full, tables of its own) and WebP at all qualities that the guard tries."""
    spread = case.judged[:: -(-len(case.judged) // (2 * _COST_FRAMES))]
    ways = []
    for codec in (*PICTURES, "png", "webp-lossless"):
        cost = _cost(codec, spread)

        def outputs_of(index: int, codec: str = codec) -> Outputs:
            return _whole(case, travel(codec, case.judged[index]))

        # What loses nothing need not be tried.
        total = len(case.judged)
        counted = Agreement(total, total) if codecs.get(codec).lossless else None
        ways.append(Way(codec, {case.engine.graph.inputs[0]: cost}, _judge(case, outputs_of), counted))
    return ways


def streams(case: Case) -> Iterator[Way]:
    """H.264, each film a stream of its own; judged on the films' frames alone, which are the first."""
    for factor in FACTORS:
        sent = [send(frames[15:], factor) for frames in case.films.values()]
        arrived = [frame for stream in sent for frame in stream.frames]
        share = [len(stream.frames) / len(arrived) for stream in sent]
        means = [sum(w * getattr(s, key) for w, s in zip(share, sent, strict=True)) for key in _STREAM_KEYS]
        name = f"h264 crf {factor}"

        def outputs_of(index: int, arrived: list[Array] = arrived) -> Outputs:
            return _whole(case, arrived[index])

        judge = _judge(case, outputs_of, frames=range(case.film_frames))
        yield Way(name, {case.engine.graph.inputs[0]: CodecCost(name, *means)}, judge)


_STREAM_KEYS = ("size_bytes", "encode_s", "decode_s")


def splits(case: Case, cut: str) -> list[Way]:
    """The tensors behind a layer: integers with zstd, transforms learnt from the first frames of the films."""
    engine, graph = case.engine, case.engine.graph
    edge = graph.edge_layers(cut)
    tail, tensors = Tail(engine, edge), graph.boundary(edge)
    head = engine.part(graph.inputs, tensors)
    made = [head(case.inputs_of(frame)) for frame in case.judged]
    spread = made[:: -(-len(made) // _COST_FRAMES)]
    learnt: dict[float, dict[str, str]] = {}
    for one in learn(engine, [case.inputs_of(frame) for frame in case.learn], tensors, steps=STEPS):
        codec = Transform(one.parameters)
        codecs.register(codec)
        learnt.setdefault(one.step, {})[one.parameters.tensor] = codec.id
    named = {codec: dict.fromkeys(tensors, codec) for codec in ("zstd", *INTEGERS)}
    named |= {f"klt {step:g}": of for step, of in learnt.items()}
    ways = []
    for name, of in named.items():
        costs = {tensor: _cost(of[tensor], [one[tensor] for one in spread]) for tensor in tensors}

        def outputs_of(index: int, of: Mapping[str, str] = of) -> Outputs:
            received = {tensor: travel(of[tensor], made[index][tensor]) for tensor in tensors}
            return tail(received)

        total = len(case.judged)
        counted = Agreement(total, total) if name == "zstd" else None
        ways.append(Way(name, costs, _judge(case, outputs_of), counted))
    return ways


def _judge(
    case: Case, outputs_of: Callable[[int], Outputs], *, frames: Sequence[int] | None = None
) -> Callable[[float], Agreement]:
    return lambda accuracy: case.verifier.to_prove(accuracy).judge(outputs_of, frames=frames)


def _whole(case: Case, pixels: Array) -> Outputs:
    graph = case.engine.graph
    return case.engine.part(graph.inputs, graph.outputs)(case.inputs_of(pixels))


def _cost(codec: str, arrays: Sequence[Array]) -> CodecCost:
    measured = measure_codec(codec, arrays)
    return CodecCost(codec, measured.size_bytes, measured.encode_s, measured.decode_s)
