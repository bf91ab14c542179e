"""connect: fingerprints compared, device and link measured, planned, run."""

from __future__ import annotations

import socket

import pytest

import dnn_surgery
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.edge.connection import connect
from dnn_surgery.edge.runtime import NamedInputs
from dnn_surgery.errors import FingerprintError, ModelError, UnknownModelError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.tracing import trace
from dnn_surgery.planning import Link
from tests.cloud.network import Branches, assert_equal, make, seeded


def test_it_measures_plans_and_answers(
    engine: Engine, server: CloudServer, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    steps: list[str] = []
    with connect(engine.graph, server.address, engine=engine, report=steps.append) as edge:
        assert edge.link.bandwidth_bps > 0
        assert edge.problem.name == engine.graph.name
        assert_equal(dict(edge(inputs).outputs), expected)
        results = list(edge.stream([NamedInputs("a", inputs), NamedInputs("b", inputs)]))
        assert [result.name for result in results] == ["a", "b"]
    # A notice besides says that the machine was busy, where it was.
    steps = [step for step in steps if not step.startswith("notice: ")]
    assert steps == [f"asking {server.address} for its profile", "profiling this device", "probing the link"]


def test_a_forced_cut_and_a_given_link_are_taken(
    engine: Engine, server: CloudServer, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    link = Link(bandwidth_bps=1e6, rtt_s=0.01)
    profile = dnn_surgery.profile(engine.graph, engine=engine, repeats=1, warmup=0)
    with connect(engine.graph, server.address, cut="stem.0", link=link, edge_profile=profile, engine=engine) as edge:
        assert edge.plan.edge == engine.graph.edge_layers("stem.0")
        assert edge.link == link
        result = edge(inputs)
    assert result.finished_by == "cloud"
    assert_equal(dict(result.outputs), expected)


def test_the_whole_api_in_one_go(inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    graph = dnn_surgery.trace(seeded(0), (Branches.example_inputs,), name="whole")
    with dnn_surgery.serve(graph) as server, dnn_surgery.connect(graph, server.address) as edge:
        assert list(edge(inputs).outputs) == list(graph.outputs)
    head, tail = dnn_surgery.split(graph, cut="stem.0")
    assert_equal(tail(head(inputs)), expected)


def test_no_server_is_one_clear_line(engine: Engine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=f"no server answers at {address}"):
        connect(engine.graph, address, engine=engine)


def test_other_weights_and_other_models_are_refused_before_a_frame_is_sent(engine: Engine, server: CloudServer) -> None:
    with pytest.raises(
        FingerprintError, match=r"branches has fingerprint .* other weights, or another model of that name"
    ):
        connect(make(seed=1).graph, server.address)
    other = trace(seeded(0), (Branches.example_inputs,), name="unheard")
    with pytest.raises(UnknownModelError, match="unheard"):
        connect(other, server.address)


def test_a_cut_that_is_no_layer_is_named(engine: Engine, server: CloudServer) -> None:
    with pytest.raises(ModelError, match=r"no layer 'stem\.9'"):
        connect(engine.graph, server.address, cut="stem.9", engine=engine)
