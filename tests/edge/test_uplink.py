"""The link has one owner: uploads one after the other, in order, and nothing while the cloud is lost."""

from __future__ import annotations

import itertools
import threading

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.edge.runtime import Edge
from dnn_surgery.execution.engine import Engine
from dnn_surgery.network.shaping import ShapedLink
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.engines import GatedEngine
from tests.edge.test_runtime import CUT, assert_all_answered, client_through, frames


def test_one_tensor_set_at_a_time_is_on_the_link(engine: Engine, server: CloudServer) -> None:
    given = frames(engine.graph, 12)
    with ShapedLink(server.address, up_bps=1e6, delay_s=0.02) as link, client_through(link, engine.graph) as client:
        results = list(Edge(engine, engine.graph.edge_layers(CUT), client=client).stream(given, in_flight=8))
    assert_all_answered(results, given, engine)
    times = [result.times for result in results]
    for before, after in itertools.pairwise(times):
        assert before.sent_s < after.sent_s
        assert before.received_s < after.received_s
    # Of 66 ms each, with a round trip of 40 ms, at most two may be without word of their arrival when a third begins.
    for before, after in zip(times, times[3:], strict=False):
        assert after.sent_s >= before.received_s


def test_the_link_is_measured_apart_from_a_slow_server(server: CloudServer) -> None:
    engine = GatedEngine()
    given = frames(engine.graph, 6)
    with (
        CloudServer(engine) as slow,
        ShapedLink(slow.address, up_bps=1e6, delay_s=0.01) as link,
        client_through(link, engine.graph) as client,
    ):
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
        engine.running.clear()
        threading.Timer(0.5, engine.running.set).start()
        results = list(edge.stream(given, in_flight=3))
        belief = edge.watch.belief()
    assert results[0].latency_s > 0.4
    assert belief is not None
    assert belief.bandwidth_bps == pytest.approx(1e6, rel=0.5)


def test_a_server_of_another_make_acknowledges_nothing_and_works_as_well(
    engine: Engine, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = frames(engine.graph, 8)
    monkeypatch.setattr("dnn_surgery.protocol.client._ACKNOWLEDGE", ())
    with InferenceClient(server.address, model_name=engine.graph.name, fingerprint=engine.graph.fingerprint) as client:
        edge = Edge(engine, engine.graph.edge_layers(CUT), client=client)
        results = list(edge.stream(given, in_flight=4))
    assert_all_answered(results, given, engine)
    assert {result.finished_by for result in results} == {"cloud"}
    assert edge.watch.belief() is not None
