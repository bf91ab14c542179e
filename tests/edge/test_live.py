"""Whatever link and server do: as many results as frames taken in, in order, each equal to the unsplit model's.

Real servers in processes of their own, a shaped link between, the edge slowed down so that the cut matters.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_surgery.edge.connection import Connection, connect
from dnn_surgery.edge.events import Event
from dnn_surgery.edge.frame import NamedInputs
from dnn_surgery.edge.intake import Intake, SourceSpec
from dnn_surgery.edge.result import FrameResult
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.network.shaping import ShapedLink
from tests.cloud.network import assert_equal
from tests.edge.clouds import Clouds

FACTORY = "tests.edge.live_network:build"
SLOWDOWN = 100.0
CUT = "last.0"  # where a test needs frames on the link, whatever would be best there
PICTURES = 8

SHARED = Path(__file__).parents[3] / "shared" / "traces"
OWN_TRACE = Path(__file__).parents[1] / "network" / "data" / "short.up"
TRACES = sorted(SHARED.glob("*.up")) or [OWN_TRACE]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(load_model(FACTORY, trust_model=True), name="torch", device="cpu", threads=1)


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    with Clouds(FACTORY) as running:
        yield running


def pictures() -> list[Array]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (1, 96, 96, 3), dtype=np.uint8) for _ in range(PICTURES)]


class Run:
    """A connection, the frames that were taken in so far, and what was said on the way."""

    def __init__(self, engine: Engine, address: str, **options: Any) -> None:
        self.events: list[Event] = []
        self.taken = 0
        self.stopped = False
        self._engine, self._pictures = engine, pictures()
        self.connection: Connection = connect(
            engine.graph,
            address,
            engine=engine,
            slowdown=SLOWDOWN,
            on_event=self.events.append,
            **options,
        )

    def frames(self) -> Iterator[NamedInputs]:
        """Frames until somebody stops it."""
        while not self.stopped:
            picture = self._pictures[self.taken % PICTURES]
            self.taken += 1
            yield NamedInputs(f"frame {self.taken - 1}", {self._engine.graph.inputs[0]: picture})

    def go(self, script: Callable[[FrameResult], None], *, in_flight: int | None = None) -> list[FrameResult]:
        """All results; the script sees each one, and stops the frames."""
        results = []
        with self.connection:
            for result in self.connection.stream(self.frames(), in_flight=in_flight):
                results.append(result)
                script(result)
        self.check(results)
        return results

    def check(self, results: list[FrameResult]) -> None:
        whole = self._engine.part(self._engine.graph.inputs, self._engine.graph.outputs)
        expected = [whole({self._engine.graph.inputs[0]: picture}) for picture in self._pictures]
        assert [result.index for result in results] == list(range(self.taken))
        assert [result.name for result in results] == [f"frame {index}" for index in range(self.taken)]
        for result in results:
            assert_equal(dict(result.outputs), expected[result.index % PICTURES])

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class Script:
    """What happens during a run: one step after the other, each once its condition holds."""

    def __init__(self, run: Run, *steps: Callable[[FrameResult], bool]) -> None:
        self._run, self._steps = run, list(steps)

    def __call__(self, result: FrameResult) -> None:
        if self._steps and self._steps[0](result):
            self._steps.pop(0)
        if not self._steps:
            self._run.stopped = True


def after(count: int, act: Callable[[], object] = lambda: None) -> Callable[[FrameResult], bool]:
    """Acts at so many results from then on."""
    seen = itertools.count(1)

    def step(_: FrameResult) -> bool:
        if next(seen) < count:
            return False
        act()
        return True

    return step


def once(holds: Callable[[FrameResult], bool], act: Callable[[], object] = lambda: None) -> Callable[..., bool]:
    """Acts at the first result for which it holds."""

    def step(result: FrameResult) -> bool:
        if not holds(result):
            return False
        act()
        return True

    return step


def by_cloud(result: FrameResult) -> bool:
    return result.finished_by == "cloud"


def by_edge(result: FrameResult) -> bool:
    return result.finished_by == "edge"


@contextmanager
def through(clouds: Clouds, **shape: Any) -> Iterator[ShapedLink]:
    with ShapedLink(clouds.address, **{"up_bps": 20e6, "delay_s": 0.01, **shape}) as link:
        yield link


def test_a_server_that_is_killed_costs_no_frame_and_is_used_again_when_it_is_back(
    engine: Engine, clouds: Clouds
) -> None:
    with through(clouds) as link:
        run = Run(engine, link.address, cut=CUT)
        script = Script(run, once(by_cloud, clouds.kill), once(by_edge, clouds.start), once(by_cloud), after(3))
        results = run.go(script)
    assert run.kinds()[:2] == ["cloud-lost", "cloud-back"]
    assert any(result.failure for result in results)


@pytest.mark.slow
def test_a_server_killed_and_restarted_ten_times_in_mid_stream(engine: Engine, clouds: Clouds) -> None:
    with through(clouds) as link:
        run = Run(engine, link.address, cut=CUT)
        steps = [(once(by_cloud, clouds.kill), once(by_edge, clouds.start)) for _ in range(10)]
        run.go(Script(run, *itertools.chain.from_iterable(steps), once(by_cloud)))
    assert run.kinds().count("cloud-lost") >= 10
    assert run.kinds().count("cloud-back") >= 10


@pytest.mark.slow
@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)
def test_each_trace(trace: Path, engine: Engine, clouds: Clouds) -> None:
    with through(clouds, up_bps=None, trace=trace) as link:
        run = Run(engine, link.address)
        ends_s = time.monotonic() + 8.0
        results = run.go(Script(run, once(lambda _: time.monotonic() > ends_s)))
    assert len(results) > 10


@pytest.mark.slow
def test_the_cut_follows_the_link_from_20_to_1_to_20_mbit(engine: Engine, clouds: Clouds) -> None:
    with through(clouds) as link:
        run = Run(engine, link.address)
        cuts: list[str] = []

        def is_cut_elsewhere(result: FrameResult) -> bool:
            cuts.append(result.cut)
            return result.failure is None and result.cut != cuts[0]

        def is_cut_as_before(result: FrameResult) -> bool:
            return result.failure is None and result.cut == cuts[0]

        run.go(
            Script(
                run,
                after(10, lambda: link.set_rate(up_bps=1e6)),
                once(is_cut_elsewhere, lambda: link.set_rate(up_bps=20e6)),
                once(is_cut_as_before),
            )
        )
    changes = [event for event in run.events if event.kind == "cut"]
    assert len(changes) >= 2
    assert all(event.fields["reason"] for event in changes)


@pytest.mark.slow
def test_a_link_that_is_cut_for_five_seconds(engine: Engine, clouds: Clouds) -> None:
    with through(clouds, outages=((2.0, 5.0),)) as link:
        run = Run(engine, link.address, cut=CUT)
        run.go(Script(run, once(by_cloud), once(lambda result: result.failure is not None), once(by_cloud), after(5)))
    assert {"cloud-lost", "cloud-back"} <= set(run.kinds())


@pytest.mark.slow
def test_a_half_open_connection(engine: Engine, clouds: Clouds) -> None:
    with through(clouds) as link:
        run = Run(engine, link.address, cut=CUT)
        results = run.go(
            Script(run, once(by_cloud, link.stall), after(10), once(by_edge, link.resume), once(by_cloud), after(3))
        )
    late = [result for result in results if result.late]
    assert late
    assert "did not answer within" in str(late[0].failure)


@pytest.mark.slow
def test_a_server_that_is_frozen_and_thawed(engine: Engine, clouds: Clouds) -> None:
    with through(clouds) as link:
        run = Run(engine, link.address, cut=CUT)
        run.go(
            Script(
                run,
                once(by_cloud, lambda: clouds.send(signal.SIGSTOP)),
                after(10),
                once(by_edge, lambda: clouds.send(signal.SIGCONT)),
                once(by_cloud),
            )
        )
    assert {"cloud-lost", "cloud-back"} <= set(run.kinds())


@pytest.mark.slow
def test_a_server_that_becomes_slow_is_left_alone(engine: Engine) -> None:
    with Clouds(FACTORY) as clouds, through(clouds) as link:
        run = Run(engine, link.address, cut=CUT)
        results = run.go(Script(run, once(by_cloud, lambda: clouds.send(signal.SIGUSR1)), after(20)))
    assert [result.finished_by for result in results[-5:]].count("edge") >= 4


@pytest.mark.slow
def test_two_sources_of_different_rates(engine: Engine, clouds: Clouds) -> None:
    def offered(seed: int) -> Iterator[Array]:
        draw = np.random.default_rng(seed)
        for _ in range(12 if seed == 1 else 30):
            yield draw.integers(0, 256, (96, 96, 3), dtype=np.uint8)

    whole = engine.part(engine.graph.inputs, engine.graph.outputs)
    expected: dict[str, dict[str, Array]] = {}

    def frames(intake: Intake) -> Iterator[NamedInputs]:
        for taken in intake:
            tensors = {"picture": taken.pixels[None]}
            name = f"{taken.source} {taken.source_index}"
            expected[name] = whole(tensors)
            yield NamedInputs(name, tensors, source=taken.source, taken_s=taken.taken_s)

    specs = [SourceSpec("slow", offered(1), 4.0), SourceSpec("fast", offered(2), 10.0, 1)]
    with (
        through(clouds) as link,
        Intake(specs, overload="skip", clock=time.perf_counter) as intake,
        connect(engine.graph, link.address, engine=engine, slowdown=SLOWDOWN, rate_hz=14.0) as edge,
    ):
        results = list(edge.stream(frames(intake)))
    assert [result.name for result in results] == list(expected)
    for result in results:
        assert_equal(dict(result.outputs), expected[result.name])
    counts = intake.counts()
    assert {result.source for result in results} == {"slow", "fast"}
    assert sum(count.taken for count in counts.values()) == len(results)


def test_a_frame_whose_link_does_not_answer_a_ping_stays_here(engine: Engine, clouds: Clouds) -> None:
    """The stall begins between two frames, so no upload could tell."""
    with through(clouds) as link:
        run = Run(engine, link.address)
        watch = run.connection.watch

        def stalled(seconds: float) -> bool:
            belief = watch.belief()
            return belief is not None and belief.stalled_s >= seconds

        def frames() -> Iterator[NamedInputs]:
            offered = run.frames()
            for _ in range(3):
                yield next(offered)
            link.stall()
            watch.ping_in(0.0)
            while not stalled(0.2):
                time.sleep(0.01)
            yield next(offered)
            link.resume()
            while stalled(0.0001) or watch.lost is not None:
                time.sleep(0.01)
            yield next(offered)

        with run.connection:
            results = list(run.connection.stream(frames(), in_flight=1))
        run.check(results)
    assert [result.finished_by for result in results] == ["cloud", "cloud", "cloud", "edge", "cloud"]
    assert results[3].failure is None  # it did not wait for a deadline
    assert any("a ping is late" in event.text for event in run.events)
