"""The demo's experiments: one network live over shaped links, a killed server, the paper's networks predicted.

pictures --> edge (this process, slowed) --> shaped link --> cloud (a process of its own)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dnn_surgery import codecs
from dnn_surgery.edge.result import classify
from dnn_surgery.edge.runtime import NamedInputs
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.live import IN_FLIGHT, Budget, Seen, build_edge, is_equal, measure
from dnn_surgery.evaluation.pictures import fitted_pictures, labelled_pictures, picture_of
from dnn_surgery.evaluation.strategies import JPEG, PAPER_LINKS_BPS, Strategy, measure_codec, strategies
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.planning import Link, Problem
from dnn_surgery.profiling.measure import profile
from dnn_surgery.protocol.client import InferenceClient

LIVE_MODEL = "efficientnet_lite0"
PAPER_MODELS = ("nin", "tiny_yolov2", "vgg16", "alexnet", "resnet18")
KILL_AFTER = 5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy on one link: what was predicted (in its plan) and what was seen, None where it was not run."""

    strategy: Strategy
    seen: Seen | None

    @property
    def latency_s(self) -> float:
        """As seen, else as predicted."""
        return self.seen.latency_s if self.seen else self.strategy.plan.latency_s

    @property
    def rate_hz(self) -> float:
        """As seen, else as predicted."""
        return self.seen.rate_hz if self.seen else self.strategy.plan.throughput_hz


@dataclass(frozen=True, slots=True)
class Row:
    """One link and what each strategy makes of it."""

    network: str
    link: Link
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """How good the answers were.

    Of all `pictures`, how many the unsplit model gets right, how many it gets right after a jpeg, and how many answers
    the jpeg leaves as they were; of all results of exact strategies, how many equal the unsplit model's to the bit.
    """

    pictures: int
    right: int
    jpeg_right: int
    jpeg_agrees: int
    exact_results: int
    equal_results: int


@dataclass(frozen=True, slots=True)
class Kill:
    """The server killed in mid-run: frames taken in, answered, finished by the edge, equal to the unsplit model."""

    frames: int
    results: int
    by_edge: int
    equal: int
    failure: str


@dataclass(frozen=True, slots=True)
class Demo:
    """All that the demo saw. `predicted` are rows of networks that did not run."""

    model: str
    slowdown: float
    rtt_s: float
    rows: tuple[Row, ...]
    answers: Answers
    kill: Kill
    predicted: tuple[tuple[str, tuple[Row, ...]], ...]


@dataclass(frozen=True)
class _Frames:
    """The pictures as the model takes them, their classes, and the unsplit model's answers."""

    inputs: tuple[NamedInputs, ...]
    classes: tuple[int, ...]
    expected: tuple[dict[str, Array], ...]


def run_demo(
    *,
    slowdown: float,
    rtt_s: float,
    budget: Budget | None = None,
    paper_models: Sequence[str] = PAPER_MODELS,
    report: Report = lambda _: None,
) -> Demo:
    """Runs everything, within `budget` for each strategy on each link; `report` is told what is going on.

    Raises:
        SourceError: the demo's pictures are missing.
        ModelError: the demo's network is missing.
    """
    report(f"loading {LIVE_MODEL}")
    graph = load_model(LIVE_MODEL)
    engine = make_engine(graph, threads=1)
    frames = _frames(graph, engine)
    report("starting the cloud")
    with CloudProcess(LIVE_MODEL) as cloud:
        problem = _problem(graph, engine, cloud.address, slowdown, report)
        live = _Live(engine, frames, cloud, problem, slowdown, rtt_s, budget or Budget(), report)
        rows = live.rows()
        report("killing the cloud in mid-run")
        kill = live.kill(rows[-1])
    predicted = []
    for name in paper_models:
        report(f"profiling {name}")
        predicted.append((name, _predicted_rows(name, slowdown=slowdown, rtt_s=rtt_s)))
    return Demo(
        model=graph.name,
        slowdown=slowdown,
        rtt_s=rtt_s,
        rows=rows,
        answers=_answers(engine, frames, rows),
        kill=kill,
        predicted=tuple(predicted),
    )


def _frames(graph: ModelGraph, engine: Engine) -> _Frames:
    picture = picture_of(graph)
    whole = engine.part(graph.inputs, graph.outputs)
    labelled = labelled_pictures()
    inputs = [
        NamedInputs(found.path.name, {picture.tensor: pixels})
        for found, pixels in zip(labelled, fitted_pictures(picture), strict=True)
    ]
    classes = tuple(found.class_index for found in labelled)
    return _Frames(tuple(inputs), classes, tuple(whole(frame.tensors) for frame in inputs))


def _problem(graph: ModelGraph, engine: Engine, address: str, slowdown: float, report: Report) -> Problem:
    report("profiling this device")
    edge_profile = profile(graph, engine=engine)
    report("asking the cloud for its profile")
    with InferenceClient(address, model_name=graph.name, fingerprint=graph.fingerprint) as client:
        cloud_profile = client.fetch_profile()
    return Problem.from_profiles(edge_profile, cloud_profile, slowdown)


@dataclass
class _Live:
    """The experiments that need the server."""

    engine: Engine
    frames: _Frames
    cloud: CloudProcess
    problem: Problem
    slowdown: float
    rtt_s: float
    budget: Budget
    report: Report
    _local: Seen | None = None

    def rows(self) -> tuple[Row, ...]:
        """Every strategy on every link of the paper."""
        graph = self.engine.graph
        jpeg = measure_codec(JPEG, [frame.tensors[graph.inputs[0]] for frame in self.frames.inputs])
        rows = []
        for network, bandwidth_bps in PAPER_LINKS_BPS.items():
            link = Link(bandwidth_bps=bandwidth_bps, rtt_s=self.rtt_s)
            cells = []
            for strategy in strategies(graph, self.problem, link, jpeg=jpeg, edge_slowdown=self.slowdown):
                self.report(f"{network}: {strategy.name}, cut {strategy.cut}")
                cells.append(Cell(strategy, self._seen(strategy, link)))
            rows.append(Row(network, link, tuple(cells)))
        return tuple(rows)

    def kill(self, row: Row) -> Kill:
        """Kills the server after a few results of the row's split; every frame must still be answered, and rightly."""
        (split,) = [cell.strategy for cell in row.cells if cell.strategy.name == "split"]
        results = []
        with self._link(row.link) as shaped, self._client(shaped.address) as client:
            edge = build_edge(self.engine, split.plan, client, slowdown=self.slowdown)
            for result in edge.stream(self.frames.inputs, in_flight=IN_FLIGHT):
                results.append(result)
                if len(results) == KILL_AFTER:
                    self.cloud.kill()
        equal = [is_equal(result.outputs, self.frames.expected[result.index]) for result in results]
        return Kill(
            frames=len(self.frames.inputs),
            results=len(results),
            by_edge=sum(result.finished_by == "edge" for result in results),
            equal=sum(equal),
            failure=next((result.failure for result in results if result.failure), ""),
        )

    def _seen(self, strategy: Strategy, link: Link) -> Seen | None:
        inputs = self.frames.inputs
        if not strategy.plan.sent:
            # Nothing is sent, so the link plays no part: measured once, for all rows.
            edge = build_edge(self.engine, strategy.plan, None, slowdown=self.slowdown)
            self._local = self._local or measure(edge, inputs, strategy, self.budget)
            return self._local
        # The server builds a tail when it is first asked for it; that is no part of what a frame costs.
        with self._client(self.cloud.address) as client:
            build_edge(self.engine, strategy.plan, client, slowdown=1.0)(inputs[0].tensors)
        with self._link(link) as shaped, self._client(shaped.address) as client:
            edge = build_edge(self.engine, strategy.plan, client, slowdown=self.slowdown)
            return measure(edge, inputs, strategy, self.budget)

    def _link(self, link: Link) -> ShapedLink:
        return ShapedLink(self.cloud.address, up_bps=link.bandwidth_bps, delay_s=link.rtt_s / 2)

    def _client(self, address: str) -> InferenceClient:
        graph = self.engine.graph
        return InferenceClient(address, model_name=graph.name, fingerprint=graph.fingerprint, timeout_s=60.0)


def _predicted_rows(name: str, *, slowdown: float, rtt_s: float) -> tuple[Row, ...]:
    graph = load_model(name)
    here = profile(graph, engine=make_engine(graph, threads=1), repeats=5, warmup=1)
    problem = Problem.from_profiles(here, here, slowdown)
    jpeg = measure_codec(JPEG, fitted_pictures(picture_of(graph)))
    rows = []
    for network, bandwidth_bps in PAPER_LINKS_BPS.items():
        link = Link(bandwidth_bps=bandwidth_bps, rtt_s=rtt_s)
        found = strategies(graph, problem, link, jpeg=jpeg, edge_slowdown=slowdown)
        rows.append(Row(network, link, tuple(Cell(strategy, None) for strategy in found)))
    return tuple(rows)


def _answers(engine: Engine, frames: _Frames, rows: Sequence[Row]) -> Answers:
    graph = engine.graph
    picture, whole = graph.inputs[0], engine.part(graph.inputs, graph.outputs)
    classes = [_class(expected) for expected in frames.expected]
    jpeg_classes = []
    for frame in frames.inputs:
        pixels = frame.tensors[picture]
        seen = codecs.decode(JPEG, codecs.encode(JPEG, pixels), str(pixels.dtype), pixels.shape)
        jpeg_classes.append(_class(whole({picture: seen})))
    position = {frame.name: index for index, frame in enumerate(frames.inputs)}
    equal = [
        is_equal(result.outputs, frames.expected[position[result.name]])
        for row in rows
        for cell in row.cells
        if cell.strategy.exact and cell.seen is not None
        for result in cell.seen.results
    ]
    return Answers(
        pictures=len(classes),
        right=_matches(classes, frames.classes),
        jpeg_right=_matches(jpeg_classes, frames.classes),
        jpeg_agrees=_matches(jpeg_classes, classes),
        exact_results=len(equal),
        equal_results=sum(equal),
    )


def _class(outputs: Mapping[str, Array]) -> int | None:
    answer = classify(outputs, None)
    return answer.class_index if answer else None


def _matches(found: Sequence[int | None], expected: Sequence[int | None]) -> int:
    return sum(one == other for one, other in zip(found, expected, strict=True))
