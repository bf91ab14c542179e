"""One served model: what a request for it must look like, and how its tail runs in the compute thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnn_surgery import codecs
from dnn_surgery.cloud.batching import Batching
from dnn_surgery.cloud.compute import Work
from dnn_surgery.cloud.estimates import Estimates
from dnn_surgery.cloud.tails import DEFAULT_MAX_TAILS, Tails
from dnn_surgery.errors import FingerprintError, NotReadyError, TensorError, UnknownModelError
from dnn_surgery.execution.engine import Array, Engine, Part, check_array
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.dataplane import InferRequest, ModelDescription, TensorDescription, WireTensor

SERVED_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed all checks: tensors by name, names of what is wanted, and when it came."""

    given: Mapping[str, WireTensor]
    wanted: tuple[str, ...]
    arrived_s: float

    @property
    def tail(self) -> tuple[frozenset[str], frozenset[str]]:
        """The same for all requests that the same tail answers."""
        return frozenset(self.given), frozenset(self.wanted)


@dataclass(frozen=True, slots=True)
class Ran:
    """The tensors asked for, and what the request went through: begin and end by the clock, and with how many."""

    outputs: tuple[WireTensor, ...]
    begun_s: float
    ended_s: float
    batch: int


class ServedModel:
    """The tails of one engine's model.

    Args:
        engine: runs them.
        profile: what this very model costs here, if that is known.
        max_tails: so many tails are kept.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float],
        profile: Profile | None = None,
        max_tails: int = DEFAULT_MAX_TAILS,
    ) -> None:
        engine.prepare()
        self.engine, self.graph, self.name = engine, engine.graph, engine.graph.name
        self.tails = Tails(engine, max_tails=max_tails)
        self.batching = Batching(engine, clock=clock)
        self.estimates = Estimates(self._predict)
        self._clock = clock
        self._profile = profile

    @property
    def profile(self) -> Profile | None:
        """What the model costs here."""
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        self.estimates.forget_predictions()

    def describe(self, version: str) -> ModelDescription:
        """What the model takes and gives as a whole.

        Raises:
            UnknownModelError: it is not served in that version.
        """
        self.check_version(version)
        return ModelDescription(
            name=self.name,
            versions=(SERVED_VERSION,),
            platform=f"dnn_surgery_{self.engine.info.name}",
            inputs=tuple(self._describe(tensor) for tensor in self.graph.inputs),
            outputs=tuple(self._describe(tensor) for tensor in self.graph.outputs),
        )

    def check_version(self, version: str) -> None:
        """Raises UnknownModelError unless the version is the served one."""
        if version not in ("", SERVED_VERSION):
            raise UnknownModelError(f"model {self.name!r} has no version {version!r}; there is: {SERVED_VERSION}")

    def check_fingerprint(self, asked: str | None) -> None:
        """Raises FingerprintError if another model or other weights are asked for."""
        if asked not in (None, self.graph.fingerprint):
            raise FingerprintError(
                f"this server's {self.name} has fingerprint {self.graph.fingerprint[:12]}, "
                f"the request is for {str(asked)[:12]}: other weights, or another model of that name"
            )

    def check(self, request: InferRequest) -> Asked:
        """The request, if it can be answered.

        Raises:
            FingerprintError: it is for another model or other weights.
            TensorError: a tensor is unknown, missing, unneeded, or of the wrong shape or datatype.
            CodecError: a codec is unknown.
        """
        self.check_version(request.model_version)
        self.check_fingerprint(request.fingerprint)
        given = {tensor.name: tensor for tensor in request.inputs}
        wanted = request.outputs or self.graph.outputs
        if len(given) < len(request.inputs):
            raise TensorError("a tensor is given more than once")
        if len(set(wanted)) < len(wanted):
            raise TensorError("an output is asked for more than once")
        self.tails.check(given.keys(), wanted)
        for tensor in request.inputs:
            self._check_tensor(tensor)
        return Asked(given, wanted, self._clock())

    def run(self, works: Sequence[Work], begun_s: float) -> list[Ran | Exception]:
        """Answers requests for one tail, in the compute thread; several together where they may be.

        Raises:
            NotReadyError: the tail is being compiled.
            CodecError: the payload of a request that runs alone is damaged.
        """
        requests: list[Asked] = [work.request for work in works]
        tail = self.tails.get(requests[0].given.keys(), requests[0].wanted)
        if not tail.is_ready:
            self.engine.request(tail)
            raise NotReadyError(f"the tail for {', '.join(requests[0].given)} is being compiled; ask again")
        if len(requests) == 1:
            outputs = tail({name: self._decode(tensor) for name, tensor in requests[0].given.items()})
            ended_s = self._clock()
            if works[0].kind is not None:
                self.batching.ran_alone(requests[0].tail, ended_s - begun_s)
            return [self._ran(requests[0], outputs, begun_s, ended_s, 1)]
        return self._run_together(requests, tail, begun_s)

    def _run_together(self, requests: Sequence[Asked], tail: Part, begun_s: float) -> list[Ran | Exception]:
        decoded: list[dict[str, Array] | Exception] = []
        for request in requests:
            try:
                decoded.append({name: self._decode(tensor) for name, tensor in request.given.items()})
            except Exception as error:  # noqa: BLE001 - one damaged payload is answered alone
                decoded.append(error)
        good = [one for one in decoded if not isinstance(one, Exception)]
        answers = iter(self.batching.run(requests[0].tail, tail, good) if good else ())
        ended_s = self._clock()
        made = [one if isinstance(one, Exception) else next(answers) for one in decoded]
        return [
            one if isinstance(one, Exception) else self._ran(request, one, begun_s, ended_s, len(good))
            for request, one in zip(requests, made, strict=True)
        ]

    def _ran(self, asked: Asked, made: Mapping[str, Array], begun_s: float, ended_s: float, batch: int) -> Ran:
        outputs = tuple(WireTensor(name, self.graph.tensors[name].dtype, made[name]) for name in asked.wanted)
        return Ran(outputs, begun_s, ended_s, batch)

    def _check_tensor(self, tensor: WireTensor) -> None:
        expected = self.graph.tensors[tensor.name].dtype
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
        check_array(self.graph, tensor.name, tensor.array)

    def _decode(self, tensor: WireTensor) -> Array:
        if tensor.codec is None:
            return tensor.array
        expected = self.graph.tensors[tensor.name]
        # What varies is the batch; an encoded tensor is one frame.
        shape = tuple(1 if size is None else size for size in expected.shape)
        return codecs.decode(tensor.codec, tensor.array.data, expected.dtype, shape)

    def _predict(self, tail: Hashable) -> float | None:
        """The tail's seconds by the profile."""
        if self._profile is None or not isinstance(tail, tuple):
            return None
        inside = {layer.name for layer in self.graph.between(*tail)}
        return self._profile.call_s + sum(layer.seconds for layer in self._profile.layers if layer.name in inside)

    def _describe(self, name: str) -> TensorDescription:
        tensor = self.graph.tensors[name]
        return TensorDescription(name=name, dtype=tensor.dtype, shape=tensor.shape)


def measure(model: ServedModel) -> Any:
    """A profile of the model, measured now in the thread that computes."""
    from dnn_surgery.profiling.measure import profile

    return profile(model.graph, engine=model.engine)
