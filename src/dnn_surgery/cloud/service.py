"""The data plane of one model: what a request asks for is checked, waits its turn, and runs in the compute thread.

event loop:      check names, shapes, fingerprint --queue--> . . . . . . . . . . . .  --> answer
compute thread:                                   [1] wait  [2] decode, run the tail
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import TypeVar

from dnn_surgery import codecs
from dnn_surgery.cloud.bundles import Bundles
from dnn_surgery.cloud.load import LoadMeter
from dnn_surgery.cloud.tails import DEFAULT_MAX_TAILS, Tails
from dnn_surgery.errors import (
    FingerprintError,
    NotReadyError,
    ProfileError,
    TensorError,
    UnknownModelError,
    UnreachableError,
)
from dnn_surgery.execution.engine import Array, Engine, check_array
from dnn_surgery.model.graph import near
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.dataplane import (
    BundleFile,
    DataPlane,
    InferRequest,
    InferResult,
    ModelDescription,
    ServerDescription,
    TensorDescription,
    WireTensor,
)

SERVED_VERSION = "1"

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Work:
    """A request that passed all checks: tensors by name, names of what is wanted, and when it came."""

    given: Mapping[str, WireTensor]
    wanted: tuple[str, ...]
    arrived_s: float


class TailService(DataPlane):
    """Serves every tail of one engine's model, from the whole model to its last layer. A context manager.

    Args:
        engine: runs the tails.
        profile: what the model costs here; without it, it is measured when first asked for.
        max_tails: so many tails are kept.
        clock: seconds, monotonic.

    Raises:
        ProfileError: the profile is of another model.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        profile: Profile | None = None,
        max_tails: int = DEFAULT_MAX_TAILS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if profile is not None and profile.fingerprint != engine.graph.fingerprint:
            raise ProfileError(f"the profile is of another model or other weights than {engine.graph.name}")
        engine.prepare()
        self._engine = engine
        self._graph = engine.graph
        self._tails = Tails(engine, max_tails=max_tails)
        self._load = LoadMeter(clock=clock)
        self._clock = clock
        self._profile = profile
        self._measuring: asyncio.Future[Profile] | None = None
        self._bundles = Bundles(engine.graph)
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dnn-surgery-compute")

    def __enter__(self) -> TailService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is running; what still waits is given up. May be called again."""
        self._compute.shutdown(wait=True, cancel_futures=True)
        self._bundles.close()

    def server(self) -> ServerDescription:
        """See :meth:`DataPlane.server`."""
        return ServerDescription(
            name="dnn-surgery",
            version=version("dnn-surgery"),
            extensions=("model_configuration", "dnn_surgery.v1"),
        )

    def model(self, name: str, version: str) -> ModelDescription:
        """See :meth:`DataPlane.model`."""
        self._check_model(name, version)
        return ModelDescription(
            name=self._graph.name,
            versions=(SERVED_VERSION,),
            platform=f"dnn_surgery_{self._engine.info.name}",
            inputs=tuple(self._describe(tensor) for tensor in self._graph.inputs),
            outputs=tuple(self._describe(tensor) for tensor in self._graph.outputs),
        )

    async def infer(self, request: InferRequest) -> InferResult:
        """See :meth:`DataPlane.infer`."""
        self._check_model(request.model_name, request.model_version)
        self._check_fingerprint(request.fingerprint)
        work = self._check(request)
        return await self._in_compute_thread(lambda: self._run(work))

    async def profile(self, name: str, fingerprint: str | None) -> str:
        """See :meth:`DataPlane.profile`. Measuring takes seconds, in which no request runs."""
        self._check_model(name, "")
        self._check_fingerprint(fingerprint)
        if self._profile is None:
            if self._measuring is None:
                self._measuring = asyncio.ensure_future(self._in_compute_thread(self._measure))
            measuring = self._measuring
            try:
                # Whoever else waits for the same measurement must not lose it with the one who asked first.
                self._profile = await asyncio.shield(measuring)
            finally:
                if measuring.done():
                    self._measuring = None
        return self._profile.to_json()

    async def bundle(self, name: str, fingerprint: str | None) -> BundleFile:
        """See :meth:`DataPlane.bundle`. A PyTorch model is exported first: seconds in which no request runs."""
        self._check_model(name or self._graph.name, "")
        self._check_fingerprint(fingerprint)
        return await self._bundles.get(self._in_compute_thread)

    def _check_model(self, name: str, version: str) -> None:
        if name != self._graph.name:
            raise UnknownModelError(
                f"no model {name!r} is served here{near(name, [self._graph.name])}; there is: {self._graph.name}"
            )
        if version not in ("", SERVED_VERSION):
            raise UnknownModelError(f"model {name!r} has no version {version!r}; there is: {SERVED_VERSION}")

    def _check_fingerprint(self, asked: str | None) -> None:
        if asked not in (None, self._graph.fingerprint):
            raise FingerprintError(
                f"this server's {self._graph.name} has fingerprint {self._graph.fingerprint[:12]}, "
                f"the request is for {str(asked)[:12]}: other weights, or another model of that name"
            )

    def _check(self, request: InferRequest) -> _Work:
        given = {tensor.name: tensor for tensor in request.inputs}
        wanted = request.outputs or self._graph.outputs
        if len(given) < len(request.inputs):
            raise TensorError("a tensor is given more than once")
        if len(set(wanted)) < len(wanted):
            raise TensorError("an output is asked for more than once")
        self._tails.check(given.keys(), wanted)
        for tensor in request.inputs:
            self._check_tensor(tensor)
        return _Work(given, wanted, self._clock())

    def _check_tensor(self, tensor: WireTensor) -> None:
        expected = self._graph.tensors[tensor.name].dtype
        if tensor.codec is not None:
            codecs.get(tensor.codec)
            if tensor.dtype != "uint8" or tensor.array.ndim != 1:
                raise TensorError(
                    f"tensor {tensor.name!r} with codec {tensor.codec!r} is {tensor.dtype} "
                    f"{list(tensor.array.shape)}, expected uint8 [n]"
                )
            return
        # Arrays hold bfloat16 as uint16, and a client that does not know the graph sends them as that.
        if tensor.dtype != expected and (tensor.dtype, expected) != ("uint16", "bfloat16"):
            raise TensorError(f"tensor {tensor.name!r} has datatype {tensor.dtype}, expected {expected}")
        check_array(self._graph, tensor.name, tensor.array)

    def _run(self, work: _Work) -> InferResult:
        started_s = self._clock()  # [1]
        tail = self._tails.get(work.given.keys(), work.wanted)
        if not tail.is_ready:
            self._engine.request(tail)
            raise NotReadyError(f"the tail for {', '.join(work.given)} is being compiled; ask again")
        results = tail({name: self._decode(tensor) for name, tensor in work.given.items()})  # [2]
        queue_s, compute_s = started_s - work.arrived_s, self._clock() - started_s
        return InferResult(
            outputs=tuple(WireTensor(name, self._graph.tensors[name].dtype, results[name]) for name in work.wanted),
            queue_s=queue_s,
            compute_s=compute_s,
            load=self._load.record(queue_s=queue_s, compute_s=compute_s),
        )

    def _decode(self, tensor: WireTensor) -> Array:
        if tensor.codec is None:
            return tensor.array
        expected = self._graph.tensors[tensor.name]
        # What varies is the batch; an encoded tensor is one frame.
        shape = tuple(1 if size is None else size for size in expected.shape)
        return codecs.decode(tensor.codec, tensor.array.data, expected.dtype, shape)

    def _measure(self) -> Profile:
        from dnn_surgery.profiling.measure import profile

        return profile(self._graph, engine=self._engine)

    async def _in_compute_thread(self, function: Callable[[], ResultT]) -> ResultT:
        try:
            # A request that is cancelled or whose deadline passes while it waits is never begun.
            return await asyncio.get_running_loop().run_in_executor(self._compute, function)
        except RuntimeError as error:
            if "after shutdown" in str(error):
                raise UnreachableError("the server is stopping") from error
            raise

    def _describe(self, name: str) -> TensorDescription:
        tensor = self._graph.tensors[name]
        return TensorDescription(name=name, dtype=tensor.dtype, shape=tensor.shape)
