import asyncio
from dataclasses import replace

import pytest

from dnn_surgery.cloud.service import TailService
from dnn_surgery.errors import ProfileError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.dataplane import InferRequest, InferResult
from dnn_surgery.protocol.messages import wire_tensor
from tests.cloud.network import NAME, served


def made_up(engine: Engine) -> Profile:
    graph = engine.graph
    return Profile(NAME, graph.fingerprint, (), graph.outputs, whole_s=0.5, whole_spread_s=0.0, repeats=1, warmup=0)


def test_queue_and_compute_seconds_are_what_the_clock_says(engine: Engine, inputs: dict[str, Array]) -> None:
    # For the load at first, arrival, begin, end, for the load again.
    times_s = iter([0.0, 10.0, 12.0, 17.0, 17.0])
    with TailService(engine, clock=lambda: next(times_s)) as service:
        request = InferRequest(NAME, tuple(wire_tensor(name, array) for name, array in inputs.items()))

        async def ask() -> InferResult:
            return await service.infer(request)

        result = asyncio.run(ask())
    assert (result.queue_s, result.compute_s, result.load) == (2.0, 5.0, 1.4)


def test_the_profile_is_measured_once(client: InferenceClient, engine: Engine) -> None:
    first, second = client.fetch_profile(), client.fetch_profile()
    assert first.fingerprint == engine.graph.fingerprint
    assert [layer.name for layer in first.layers] == [layer.name for layer in engine.graph.layers]
    assert first.whole_s > 0
    assert second == first


def test_a_given_profile_is_passed_on(engine: Engine) -> None:
    with served(engine, profile=made_up(engine)) as client:
        assert client.fetch_profile() == made_up(engine)


def test_a_profile_of_other_weights_is_refused(engine: Engine) -> None:
    with pytest.raises(ProfileError, match="of another model or other weights than branches"):
        TailService(engine, profile=replace(made_up(engine), fingerprint="0" * 64))
