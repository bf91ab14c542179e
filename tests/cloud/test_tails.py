import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dnn_surgery.cloud.tails import Tails
from dnn_surgery.errors import TensorError
from dnn_surgery.execution.engine import Engine, Part
from dnn_surgery.execution.torch_engine import TorchEngine
from tests.cloud.network import make_graph


class CountingEngine(TorchEngine):
    """Counts what it builds; `gate` holds a build back, `failure` fails it."""

    def __init__(self) -> None:
        super().__init__(make_graph(), device="cpu", threads=1)
        self.built: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        self.built.append((tuple(inputs), tuple(outputs)))
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return super().part(inputs, outputs)


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


def single(engine: Engine) -> list[tuple[list[str], list[str]]]:
    """Some tails: from the input to each tensor."""
    graph = engine.graph
    return [([graph.inputs[0]], [name]) for name in graph.tensors if name not in graph.inputs]


def test_a_tail_is_built_once_whatever_the_order_of_names(engine: CountingEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    first = tails.get(graph.inputs, graph.outputs)
    assert tails.get(graph.inputs, graph.outputs[::-1]) is first
    assert len(engine.built) == 1


def test_requests_for_the_same_new_tail_at_once_build_it_once(engine: CountingEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    engine.gate.clear()
    started = threading.Barrier(5)

    def get(_: int) -> Part:
        started.wait()
        return tails.get(graph.inputs, graph.outputs)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(get, number) for number in range(4)]
        started.wait()
        engine.gate.set()
        parts = {id(future.result()) for future in futures}
    assert len(parts) == 1
    assert len(engine.built) == 1


def test_the_least_recently_used_tail_goes_first(engine: CountingEngine) -> None:
    tails = Tails(engine, max_tails=2)
    first, second, third = single(engine)[:3]
    for tail in (first, second, first, third):
        tails.get(*tail)
    assert len(tails) == 2
    assert len(engine.built) == 3
    tails.get(*first)
    assert len(engine.built) == 3
    tails.get(*second)
    assert len(engine.built) == 4


def test_a_tail_that_fails_is_built_anew_the_next_time(engine: CountingEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    engine.failure = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        tails.get(graph.inputs, graph.outputs)
    assert len(tails) == 0
    engine.failure = None
    assert tails.get(graph.inputs, graph.outputs).outputs == graph.outputs


def test_names_are_checked_without_building(engine: CountingEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    tails.check(graph.inputs, graph.outputs)
    with pytest.raises(TensorError, match="unknown"):
        tails.check(["nothing"], graph.outputs)
    with pytest.raises(TensorError, match="missing"):
        tails.check([], graph.outputs)
    assert engine.built == []
    with pytest.raises(TensorError, match="unknown"):
        tails.get(["nothing"], graph.outputs)
    assert len(tails) == 0
