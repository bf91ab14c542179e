"""The edge against a real server: every answer exact, in order, once; none lost whatever the server does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from dnn_surgery.cloud.gate import Quota
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.edge.result import classify
from dnn_surgery.edge.runtime import Edge, NamedInputs, Retry
from dnn_surgery.errors import InputError, SourceError, TensorError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.engines import GatedEngine
from tests.cloud.network import assert_equal, client_of, cuts, make, random_input

CUT = "stem.0"


def frames(graph: ModelGraph, count: int) -> list[NamedInputs]:
    return [NamedInputs(f"frame {index}", {graph.inputs[0]: random_input(index)}) for index in range(count)]


def answers(engine: Engine, given: list[NamedInputs]) -> list[dict[str, Array]]:
    whole = engine.part(engine.graph.inputs, engine.graph.outputs)
    return [whole(frame.tensors) for frame in given]


def assert_all_answered(results: list, given: list[NamedInputs], engine: Engine) -> None:  # type: ignore[type-arg]
    assert [result.index for result in results] == list(range(len(given)))
    assert [result.name for result in results] == [frame.name for frame in given]
    for result, expected in zip(results, answers(engine, given), strict=True):
        assert_equal(dict(result.outputs), expected)


def test_every_cut_gives_the_unsplit_models_answer(engine: Engine, client: InferenceClient) -> None:
    (frame,) = frames(engine.graph, 1)
    (expected,) = answers(engine, [frame])
    for partition in cuts(engine.graph):
        result = Edge(engine, partition, client=client)(frame.tensors, name=frame.name)
        assert_equal(dict(result.outputs), expected)
        finished = set(partition) == {layer.name for layer in engine.graph.layers}
        assert result.finished_by == ("edge" if finished else "cloud")
        assert (result.sent_bytes > 0) == (not finished)
        assert result.latency_s >= result.edge_s + result.cloud_s


def test_a_stream_answers_every_frame_once_and_in_order(engine: Engine, client: InferenceClient) -> None:
    given = frames(engine.graph, 12)
    edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
    results = list(edge.stream(given, in_flight=3))
    assert_all_answered(results, given, engine)
    assert {result.finished_by for result in results} == {"cloud"}


def test_a_server_that_goes_away_in_mid_stream_loses_no_frame(engine: Engine) -> None:
    given = frames(engine.graph, 12)
    with CloudServer(engine) as server, client_of(server, engine.graph) as client:
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
        results = []
        for result in edge.stream(given, in_flight=3):
            results.append(result)
            if len(results) == 4:
                server.stop(grace_s=0)
    assert_all_answered(results, given, engine)
    assert [result.finished_by for result in results[:4]] == ["cloud"] * 4
    assert results[-1].finished_by == "edge"
    assert results[-1].failure is not None


def test_no_server_at_all_is_no_reason_to_lose_a_frame(engine: Engine) -> None:
    given = frames(engine.graph, 3)
    with InferenceClient("127.0.0.1:9", model_name=engine.graph.name, timeout_s=2) as client:
        results = list(Edge(engine, engine.graph.edge_layers(CUT), client=client).stream(given))
    assert_all_answered(results, given, engine)
    assert results[0].failure is not None
    assert "127.0.0.1:9" in results[0].failure


class SteppedClock:
    """Stands still unless told; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_after_a_failure_the_cloud_is_left_alone_for_a_while_and_then_used_again(engine: Engine) -> None:
    clock = SteppedClock()
    given = frames(engine.graph, 1)[0].tensors
    with CloudServer(engine) as server:
        port, graph = server.port, engine.graph
    with client_of(server, graph) as client:
        retry = Retry(first_s=1.0, longest_s=4.0)
        edge = Edge(engine, graph.edge_layers(CUT), client=client, retry=retry, clock=clock, sleep=clock.sleep)
        assert "no server answers" in str(edge(given).failure)
        clock.now = 0.9
        assert edge(given).failure == "the cloud failed a moment ago"
        clock.now = 1.0
        assert "no server answers" in str(edge(given).failure)
        with CloudServer(engine, address=f"127.0.0.1:{port}"):
            clock.now = 2.9  # the wait is 2 s now
            assert edge(given).finished_by == "edge"
            until_s = time.monotonic() + 30.0
            clock.now += 4.0
            while edge(given).finished_by != "cloud":  # gRPC looks for a server by its own clock
                assert time.monotonic() < until_s
                time.sleep(0.02)
                clock.now += 4.0
            assert edge(given).finished_by == "cloud"


def test_a_busy_servers_hint_stands_in_for_our_own_guess() -> None:
    retry = Retry(first_s=1.0, longest_s=4.0)
    retry.failed(10.0, hint_s=0.2)
    retry.failed(10.0, hint_s=3.0)  # of a frame that was under way at the same time
    assert not retry.may_try(10.19)
    assert retry.may_try(10.31)
    retry.failed(11.0, hint_s=30.0)
    assert not retry.may_try(40.9)
    assert retry.may_try(56.1)


def test_a_refused_frame_is_finished_here_and_the_cloud_left_alone_as_long_as_it_asks(engine: Engine) -> None:
    clock = SteppedClock()
    given = frames(engine.graph, 1)[0].tensors
    with (
        CloudServer(engine, quota=Quota(requests_hz=0.01, burst_s=100.0)) as server,
        client_of(server, engine.graph) as client,
    ):
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client, clock=clock, sleep=clock.sleep)
        assert edge(given).finished_by == "cloud"
        refused = edge(given)
        assert refused.finished_by == "edge"
        assert "beyond its quota of 0.01 requests a second" in str(refused.failure)
        clock.now = 59.0  # our own guess would have been half a second
        assert edge(given).failure == "the cloud failed a moment ago"


def test_failures_of_frames_under_way_together_count_once() -> None:
    retry = Retry(first_s=1.0, longest_s=4.0)
    for _ in range(3):
        retry.failed(10.0)
    assert not retry.may_try(10.9)
    assert retry.may_try(11.0)
    for expected_s in (2.0, 4.0, 4.0):
        now_s = 100.0
        retry.failed(now_s)
        assert not retry.may_try(now_s + expected_s - 0.01)
        assert retry.may_try(now_s + expected_s)
        retry._at_s = 0.0
    retry.worked()
    assert retry.may_try(0.0)


def test_a_slow_server_is_waited_for_until_the_deadline_only() -> None:
    engine = GatedEngine()
    local = make()
    given = frames(engine.graph, 2)
    with CloudServer(engine) as server, client_of(server, engine.graph) as client:
        engine.running.clear()
        edge = Edge(local, local.graph.edge_layers(CUT), client=client, deadline_s=0.3)
        results = list(edge.stream(given, in_flight=1))
        engine.running.set()
    assert_all_answered(results, given, local)
    assert "within" in str(results[0].failure)


def test_a_link_too_slow_for_the_deadline_is_survived(engine: Engine, server: CloudServer) -> None:
    given = frames(engine.graph, 1)
    with ShapedLink(server.address, up_bps=8_000) as link, client_through(link, engine.graph) as client:
        # 8 KiB of boundary tensor take 8 s.
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client, deadline_s=0.5)
        results = list(edge.stream(given))
    assert_all_answered(results, given, engine)
    assert results[0].finished_by == "edge"


def test_a_server_with_other_weights_never_answers_wrongly(engine: Engine) -> None:
    given = frames(engine.graph, 2)
    with CloudServer(make(seed=1)) as server, client_of(server, engine.graph) as client:
        results = list(Edge(engine, engine.graph.edge_layers(CUT), client=client).stream(given))
    assert_all_answered(results, given, engine)
    assert {result.finished_by for result in results} == {"edge"}
    assert "fingerprint" in str(results[0].failure)


def test_a_source_that_breaks_gives_up_no_frame_that_was_taken_in(engine: Engine, client: InferenceClient) -> None:
    given = frames(engine.graph, 4)

    def source() -> Iterator[NamedInputs]:
        yield from given
        raise SourceError("the camera is gone")

    results = []
    with pytest.raises(SourceError, match="the camera is gone"):
        for result in Edge(engine, engine.graph.edge_layers(CUT), client=client).stream(source(), in_flight=3):
            results.append(result)
    assert_all_answered(results, given, engine)


def test_a_frame_that_the_model_does_not_take_costs_no_other_frame(engine: Engine, client: InferenceClient) -> None:
    given = frames(engine.graph, 2)
    wrong = NamedInputs("wrong", {engine.graph.inputs[0]: np.zeros((1, 2), np.float32)})
    results = []
    with pytest.raises(TensorError, match="has shape"):
        for result in Edge(engine, engine.graph.edge_layers(CUT), client=client).stream([*given, wrong], in_flight=4):
            results.append(result)
    assert_all_answered(results, given, engine)


def test_an_emulated_device_does_its_work_so_many_times_over(engine: Engine) -> None:
    everything = [layer.name for layer in engine.graph.layers]
    clock = SteppedClock()
    edge = Edge(engine, everything, slowdown=2.5, clock=clock, sleep=clock.sleep)
    part = edge.head.part

    def a_second(tensors: dict[str, Array]) -> dict[str, Array]:
        clock.now += 1.0
        return part(tensors)

    edge.head.part = a_second  # type: ignore[assignment]
    given = frames(engine.graph, 1)
    result = edge(given[0].tensors, name=given[0].name)
    assert result.edge_s == 2.5
    assert_all_answered([result], given, engine)
    for slowdown in (0.5, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"at least 1, got {slowdown}"):
            Edge(engine, everything, slowdown=slowdown)


def test_wrong_inputs_are_an_error_of_the_caller(engine: Engine, client: InferenceClient) -> None:
    edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
    with pytest.raises(TensorError, match="missing tensors: x"):
        edge({"y": random_input()})


def test_classify_reads_probabilities_and_nothing_else() -> None:
    scores = np.array([[0.1, 0.7, 0.2]], np.float32)
    answer = classify({"fc": scores}, ("cat", "dog", "cow"))
    assert answer is not None
    assert (answer.class_index, answer.label) == (1, "dog")
    assert answer.confidence == pytest.approx(0.7)
    unnamed = classify({"fc": scores}, None)
    assert unnamed is not None
    assert unnamed.label == "1"
    assert classify({"a": scores, "b": scores}, None) is None
    assert classify({"a": scores[0]}, None) is None
    assert classify({"a": scores.astype(np.int64)}, None) is None


def client_through(link: ShapedLink, graph: ModelGraph) -> InferenceClient:
    return InferenceClient(link.address, model_name=graph.name, fingerprint=graph.fingerprint)
