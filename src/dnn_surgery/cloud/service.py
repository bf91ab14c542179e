"""The data plane: what a request asks for is checked, waits its turn, and runs in the compute thread.

event loop:      check names, shapes, fingerprint --fair queue--> . . . . . . . . . .  --> answer, with a load report
compute thread:                                        [1] wait  [2] decode, run the tail
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import TracebackType

from dnn_surgery.cloud.bundles import Bundles
from dnn_surgery.cloud.compute import ComputeThread, Work
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.load import ClientCount, LoadMeter
from dnn_surgery.cloud.model_service import Asked, Ran, ServedModel, measure
from dnn_surgery.errors import InputError, ProfileError, UnknownModelError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.model.graph import near
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.dataplane import (
    BundleFile,
    Caller,
    DataPlane,
    InferRequest,
    InferResult,
    ModelDescription,
    ServerDescription,
)


class TailService(DataPlane):
    """Serves every tail of its engines' models, from the whole model to its last layer. A context manager.

    Args:
        engine: runs the tails; several engines serve several models.
        profile: what a model costs here, or several; without it, it is measured when first asked for.
        limits: what is taken on at once.
        batching: requests for the same cut may run together where that is faster; results then differ in last bits.
        clock: seconds, monotonic.

    Raises:
        ProfileError: a profile is of no model here.
        InputError: two models have one name.
    """

    def __init__(
        self,
        engine: Engine | Sequence[Engine],
        *,
        profile: Profile | Sequence[Profile] | None = None,
        limits: ServingLimits = ServingLimits(),
        batching: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        engines = [engine] if isinstance(engine, Engine) else list(engine)
        profiles = [profile] if isinstance(profile, Profile) else list(profile or ())
        self._clock = clock
        self._models: dict[str, ServedModel] = {}
        for one, its in _matched(engines, profiles):
            if one.graph.name in self._models:
                raise InputError(f"two models of the name {one.graph.name!r} cannot be served at one address")
            self._models[one.graph.name] = ServedModel(one, profile=its, max_tails=limits.tails, clock=clock)
        self._bundles = {name: Bundles(model.graph) for name, model in self._models.items()}
        self._batching = batching
        self._load = LoadMeter(clock=clock)
        self._clients = ClientCount()
        self._measuring: dict[str, asyncio.Future[Profile]] = {}
        self._compute = ComputeThread(
            max_jobs=limits.queued,
            max_bytes=limits.held_bytes,
            clock=clock,
            batch=limits.batch if batching else 1,
            pays=self._pays,
        )

    def __enter__(self) -> TailService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is running; what still waits is given up. May be called again."""
        self._compute.close()
        for bundles in self._bundles.values():
            bundles.close()

    @property
    def models(self) -> tuple[str, ...]:
        """See :attr:`DataPlane.models`."""
        return tuple(self._models)

    @property
    def is_alive(self) -> bool:
        """Whether requests would be computed."""
        return self._compute.is_alive

    @property
    def queued(self) -> int:
        """Requests that wait now."""
        return len(self._compute.queue)

    @property
    def held_bytes(self) -> int:
        """Bytes of the requests that wait or run now."""
        return self._compute.queue.size_bytes + self._compute.queue.running_bytes

    @property
    def clients(self) -> int:
        """Clients seen in the last seconds."""
        return self._clients.count(self._clock())

    def slowdown(self, name: str) -> float:
        """By what factor the model's tails take longer than its profile says."""
        return self._models[name].estimates.slowdown

    def server(self) -> ServerDescription:
        """See :meth:`DataPlane.server`."""
        return ServerDescription(
            name="dnn-surgery",
            version=version("dnn-surgery"),
            extensions=("model_configuration", "dnn_surgery.v1"),
        )

    def model(self, name: str, version: str) -> ModelDescription:
        """See :meth:`DataPlane.model`."""
        return self._model(name).describe(version)

    def check_room(self, client: str) -> None:
        """See :meth:`DataPlane.check_room`."""
        self._compute.check_room(client)

    async def infer(self, request: InferRequest, caller: Caller = Caller()) -> InferResult:
        """See :meth:`DataPlane.infer`."""
        model = self._model(request.model_name)
        asked = model.check(request)
        clients = self._clients.note(caller.name, asked.arrived_s)
        ran: Ran = await self._compute.submit(
            Work(model.run, request=asked, kind=self._kind(model, asked)),
            client=caller.name,
            arrived_s=asked.arrived_s,
            cost_s=model.estimates.expected_s(asked.tail, asked.arrived_s),
            size_bytes=caller.size_bytes,
            deadline_s=math.inf if caller.remaining_s is None else asked.arrived_s + caller.remaining_s,
        )
        queue_s, compute_s = ran.begun_s - asked.arrived_s, ran.ended_s - ran.begun_s
        model.estimates.record(asked.tail, compute_s / ran.batch, ran.ended_s)
        return InferResult(
            outputs=ran.outputs,
            queue_s=queue_s,
            compute_s=compute_s,
            load=self._load.record(queue_s=queue_s, compute_s=compute_s / ran.batch),
            slowdown=model.estimates.slowdown,
            clients=clients,
            queued=self.queued,
            batch=ran.batch,
        )

    async def profile(self, name: str, fingerprint: str | None) -> str:
        """See :meth:`DataPlane.profile`. Measuring takes seconds, in which no request runs."""
        model = self._model(name)
        model.check_fingerprint(fingerprint)
        if model.profile is None:
            if name not in self._measuring:
                work = Work(lambda _, __: [measure(model)])
                self._measuring[name] = asyncio.ensure_future(self._compute.submit(work))
            measuring = self._measuring[name]
            try:
                # Whoever else waits for the same measurement must not lose it with the one who asked first.
                measured = await asyncio.shield(measuring)
                if model.profile is None:
                    model.profile = measured
            finally:
                if measuring.done():
                    self._measuring.pop(name, None)
        profile = model.profile
        if profile is None:
            raise AssertionError("measured above")
        return profile.to_json()

    async def bundle(self, name: str, fingerprint: str | None) -> BundleFile:
        """See :meth:`DataPlane.bundle`. A PyTorch model is exported first: seconds in which no request runs.

        Where several models are served, "" is the first one.
        """
        model = self._model(name or next(iter(self._models)))
        model.check_fingerprint(fingerprint)
        return await self._bundles[model.name].get(
            lambda function: self._compute.submit(Work(lambda _, __: [function()]))
        )

    def _model(self, name: str) -> ServedModel:
        try:
            return self._models[name]
        except KeyError:
            known = list(self._models)
            raise UnknownModelError(
                f"no model {name!r} is served here{near(name, known)}; there is: {', '.join(known)}"
            ) from None

    def _kind(self, model: ServedModel, asked: Asked) -> object:
        if not self._batching:
            return None
        arrays = {name: None if tensor.codec else tensor.array for name, tensor in asked.given.items()}
        return (model.name, asked.tail) if model.batching.allows(arrays, asked.wanted) else None

    def _pays(self, kind: object) -> bool:
        if not isinstance(kind, tuple):
            return False
        name, tail = kind
        return self._models[name].batching.pays(tail)


def _matched(engines: Sequence[Engine], profiles: Sequence[Profile]) -> list[tuple[Engine, Profile | None]]:
    """Each engine with its profile, if there is one."""
    if not engines:
        raise InputError("no model to serve")
    of = {profile.fingerprint: profile for profile in profiles}
    if strange := of.keys() - {engine.graph.fingerprint for engine in engines}:
        other = of[next(iter(strange))]
        names = ", ".join(engine.graph.name for engine in engines)
        raise ProfileError(f"the profile (of {other.model}) is of another model or other weights than {names}")
    return [(engine, of.get(engine.graph.fingerprint)) for engine in engines]
