"""Many clients of one server: who comes first, who is refused, and that all get their own answers."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from dnn_surgery.cloud.compute import Work
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import BusyError, InputError, TooLargeError, UnknownModelError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.torch_engine import TorchEngine
from dnn_surgery.model.tracing import trace
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.engines import GatedEngine
from tests.cloud.network import NAME, SIZE, assert_equal, client_of, make, make_graph, random_input, seeded, served


@pytest.fixture
def gated() -> GatedEngine:
    engine = GatedEngine()
    engine.running.clear()
    return engine


@contextmanager
def released(engine: GatedEngine) -> Iterator[None]:
    """Lets the engine run at the end, so that a test that fails does not wait for a server that waits for it."""
    try:
        yield
    finally:
        engine.running.set()


def connected(client: InferenceClient) -> InferenceClient:
    """From now on calls arrive in the order in which they are made."""
    client.server_metadata()
    return client


def test_a_client_with_one_request_overtakes_one_with_many(gated: GatedEngine, inputs: dict[str, Array]) -> None:
    with (
        CloudServer(gated) as server,
        client_of(server, gated.graph) as many,
        client_of(server, gated.graph) as single,
        released(gated),
    ):
        connected(single)
        pending = [many.infer_async(inputs) for _ in range(6)]
        gated.begun.acquire()
        many.server_metadata()  # travels behind them: once it is answered, all wait
        alone = single.infer_async(inputs)
        single.server_metadata()
        gated.running.set()
        waited_s = sorted(one.result().queue_s for one in pending)
        reply = alone.result()
    assert reply.queue_s < waited_s[2]
    assert reply.clients == 2


def test_what_the_queue_cannot_take_is_refused_with_a_hint(
    gated: GatedEngine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with served(gated, limits=ServingLimits(queued=2)) as client, released(gated):
        first = client.infer_async(inputs)
        gated.begun.acquire()
        waiting = [client.infer_async(inputs) for _ in range(2)]
        client.server_metadata()
        with pytest.raises(BusyError, match="refused: the queue is full: 2 requests wait") as caught:
            client.infer(inputs)
        assert 0.05 <= caught.value.retry_after_s <= 10
        gated.running.set()
        for one in (first, *waiting):
            assert_equal(dict(one.result().tensors), expected)
        assert_equal(dict(client.infer(inputs).tensors), expected)


def test_bytes_in_memory_are_bounded(gated: GatedEngine, inputs: dict[str, Array]) -> None:
    size_bytes = sum(array.nbytes for array in inputs.values())
    with served(gated, limits=ServingLimits(held_bytes=2 * size_bytes)) as client, released(gated):
        first = client.infer_async(inputs)
        gated.begun.acquire()
        with pytest.raises(BusyError, match=r"hold \d+ bytes already"):
            client.infer(inputs)
        gated.running.set()
        first.result()
        client.infer(inputs)


def test_a_deadline_that_cannot_be_met_is_refused_at_once_and_not_begun(
    gated: GatedEngine, inputs: dict[str, Array]
) -> None:
    with CloudServer(gated) as server, client_of(server, gated.graph) as client, released(gated):
        # The server has learnt that this tail takes a minute.
        (model,) = server.service._models.values()
        tail = (frozenset(inputs), frozenset(gated.graph.outputs))
        for _ in range(3):
            model.estimates.record(tail, 60.0, model._clock())
        with pytest.raises(BusyError, match="the deadline cannot be met any more"):
            client.infer(inputs, timeout_s=30.0)
        assert gated.ran == 0
        gated.running.set()
        client.infer(inputs, timeout_s=300.0)


def test_a_client_that_goes_in_the_queue_frees_its_place(
    gated: GatedEngine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    limits = ServingLimits(queued=1)
    with CloudServer(gated, limits=limits) as server, client_of(server, gated.graph) as client, released(gated):
        first = client.infer_async(inputs)
        gated.begun.acquire()
        with client_of(server, gated.graph) as other:
            leaving = connected(other).infer_async(inputs)
            other.server_metadata()
            assert server.service.queued == 1
        assert leaving.done()
        while server.service.queued:
            client.server_metadata()  # until the server has seen the other connection end
        second = client.infer_async(inputs)
        client.server_metadata()
        gated.running.set()
        assert_equal(dict(first.result().tensors), expected)
        assert_equal(dict(second.result().tensors), expected)
    assert gated.ran == 2


def test_several_models_are_served_side_by_side(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    other_graph = replace(make_graph(seed=1), name="other")
    other = TorchEngine(other_graph, device="cpu", threads=1)
    answer = other.part(other_graph.inputs, other_graph.outputs)(inputs)
    with (
        CloudServer([engine, other]) as server,
        client_of(server, engine.graph) as client,
        client_of(server, other_graph) as other_client,
        InferenceClient(server.address, model_name="none") as strange,
    ):
        assert_equal(dict(client.infer(inputs).tensors), expected)
        assert_equal(dict(other_client.infer(inputs).tensors), answer)
        assert other_client.fetch_profile().fingerprint == other_graph.fingerprint
        assert other_client.model_metadata().name == "other"
        with pytest.raises(UnknownModelError, match=f"there is: {NAME}, other"):
            strange.infer(inputs)


def test_two_models_of_one_name_are_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match=f"two models of the name '{NAME}'"):
        CloudServer([engine, engine])


def test_a_reply_compares_computing_with_the_profile(engine: Engine, inputs: dict[str, Array]) -> None:
    with served(engine) as client:
        assert client.infer(inputs).slowdown == 1.0
        profile = client.fetch_profile()
    tenth = replace(profile, call_s=0.0, layers=tuple(replace(layer, seconds=1e-9) for layer in profile.layers))
    with served(engine, profile=tenth) as client:
        assert client.infer(inputs).slowdown > 100


def test_a_call_that_is_too_large_is_refused_and_the_connection_lives(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with CloudServer(engine, max_message_bytes=10_000) as server, client_of(server, engine.graph) as client:
        with pytest.raises(TooLargeError):
            client.infer({engine.graph.inputs[0]: np.zeros((1, 3, 100, 100), np.float32)})
        assert_equal(dict(client.infer(inputs).tensors), expected)


def open_batch() -> Engine:
    example = torch.zeros(2, 3, SIZE, SIZE)
    graph = trace(seeded(0), (example,), name=NAME, dynamic_shapes=({0: torch.export.Dim("batch")},))
    return make_engine(graph, device="cpu", threads=1)


def held(entered: threading.Event, leave: threading.Event) -> Work:
    """Keeps the compute thread busy until it may leave."""

    def run(_: object, __: float) -> list[bool]:
        entered.set()
        return [leave.wait()]

    return Work(run)


def loop_of(server: CloudServer) -> asyncio.AbstractEventLoop:
    assert server._stopping is not None
    return server._stopping[0]


@pytest.mark.parametrize("batching", [True, False])
@pytest.mark.parametrize("build", [open_batch, make])
def test_requests_of_one_cut_run_together_only_where_that_is_allowed(
    build: Callable[[], Engine], batching: bool
) -> None:
    engine = build()
    whole = engine.part(engine.graph.inputs, engine.graph.outputs)
    frames = [{engine.graph.inputs[0]: random_input(number)} for number in range(12)]
    answers = [whole(frame) for frame in frames]
    batches: list[int] = []
    with (
        CloudServer(engine, batching=batching, observers=[lambda call: batches.append(call.batch)]) as server,
        client_of(server, engine.graph) as client,
    ):
        for frame, answer in zip(frames[:4], answers, strict=False):
            assert_equal(dict(client.infer(frame).tensors), answer)  # alone: to the bit, and it learns what one takes
        entered, leave = threading.Event(), threading.Event()
        hold = asyncio.run_coroutine_threadsafe(server.service._compute.submit(held(entered, leave)), loop_of(server))
        entered.wait()
        pending = [client.infer_async(frame) for frame in frames]
        while server.service.queued < len(frames):
            client.server_metadata()
        leave.set()
        hold.result()
        replies = [one.result() for one in pending]
    for reply, answer in zip(replies, answers, strict=True):
        for name, array in answer.items():
            if batching:
                np.testing.assert_allclose(reply.tensors[name], array, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(reply.tensors[name], array)
    assert (max(batches) > 1) == batching
