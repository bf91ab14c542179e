import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dnn_surgery.cloud.tails import Tails
from dnn_surgery.errors import TensorError
from dnn_surgery.execution.engine import Engine, Part
from tests.cloud.engines import GatedEngine


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


def single(engine: Engine) -> list[tuple[list[str], list[str]]]:
    """Some tails: from the input to each tensor."""
    graph = engine.graph
    return [([graph.inputs[0]], [name]) for name in graph.tensors if name not in graph.inputs]


def test_a_tail_is_built_once_whatever_the_order_of_names(engine: GatedEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    first = tails.get(graph.inputs, graph.outputs)
    assert tails.get(graph.inputs, graph.outputs[::-1]) is first
    assert engine.built == 1


def test_requests_for_the_same_new_tail_at_once_build_it_once(engine: GatedEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    engine.building.clear()
    started = threading.Barrier(5)

    def get(_: int) -> Part:
        started.wait()
        return tails.get(graph.inputs, graph.outputs)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(get, number) for number in range(4)]
        started.wait()
        engine.building.set()
        parts = {id(future.result()) for future in futures}
    assert len(parts) == 1
    assert engine.built == 1


def test_the_least_recently_used_tail_goes_first(engine: GatedEngine) -> None:
    tails = Tails(engine, max_tails=2)
    first, second, third = single(engine)[:3]
    for tail in (first, second, first, third):
        tails.get(*tail)
    assert len(tails) == 2
    assert engine.built == 3
    tails.get(*first)
    assert engine.built == 3
    tails.get(*second)
    assert engine.built == 4


def test_a_tail_that_fails_is_built_anew_the_next_time(engine: GatedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Part:
        raise RuntimeError("out of memory")

    tails, graph = Tails(engine), engine.graph
    with monkeypatch.context() as failing:
        failing.setattr(engine, "part", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            tails.get(graph.inputs, graph.outputs)
    assert len(tails) == 0
    assert tails.get(graph.inputs, graph.outputs).outputs == graph.outputs


def test_names_are_checked_without_building(engine: GatedEngine) -> None:
    tails, graph = Tails(engine), engine.graph
    tails.check(graph.inputs, graph.outputs)
    with pytest.raises(TensorError, match="unknown"):
        tails.check(["nothing"], graph.outputs)
    with pytest.raises(TensorError, match="missing"):
        tails.check([], graph.outputs)
    assert engine.built == 0
    with pytest.raises(TensorError, match="unknown"):
        tails.get(["nothing"], graph.outputs)
    assert len(tails) == 0
