"""What planning is asked: layers with their costs on both sides, tensors with their sizes and codecs, and rules.

Frozen records. A `Problem` is checked when it is made, so every algorithm can rely on an acyclic graph of known
names and finite, non-negative costs. Files: :mod:`dnn_surgery.planning.problem_file`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dnn_surgery.errors import ProblemError
from dnn_surgery.model.graph import near

if TYPE_CHECKING:
    from dnn_surgery.planning.frontier import Frontier
    from dnn_surgery.planning.link import Link
    from dnn_surgery.planning.plan import Plan
    from dnn_surgery.planning.structure import Structure
    from dnn_surgery.profiling.profile import Profile

Side = Literal["edge", "cloud"]


@dataclass(frozen=True, slots=True)
class CodecCost:
    """One way for a tensor to travel: bytes on the wire, seconds to encode at the edge and to decode in the cloud."""

    name: str
    size_bytes: float
    encode_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TensorCost:
    """A tensor: its raw bytes and all the codecs it may travel with.

    No codecs named means raw, at no cost beside its bytes. Where codecs are named they are all that is admitted, so
    raw has to be among them to be chosen. `send` is false for a tensor that may not leave the edge.
    """

    name: str
    size_bytes: float
    codecs: tuple[CodecCost, ...] = ()
    send: bool = True

    @property
    def ways(self) -> tuple[CodecCost, ...]:
        """The admitted codecs, raw where none are named."""
        return self.codecs or (CodecCost("raw", self.size_bytes),)


@dataclass(frozen=True, slots=True)
class ProblemLayer:
    """A layer: the tensors it reads and makes, its seconds on each tier, its parameters.

    `middle_s` are the tiers between the edge and the cloud, in order; empty for the usual two.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[TensorCost, ...]
    edge_s: float
    cloud_s: float
    middle_s: tuple[float, ...] = ()
    pin: Side | None = None
    param_bytes: float = 0.0

    @property
    def tier_s(self) -> tuple[float, ...]:
        """Seconds on each tier, from the device to the cloud."""
        return (self.edge_s, *self.middle_s, self.cloud_s)


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole head and tail as measured: overrides the sums of layer times for the partition with these edge layers."""

    edge: tuple[str, ...]
    edge_s: float
    cloud_s: float


@dataclass(frozen=True, slots=True)
class Forbidden:
    """One partition with one choice of codecs that must not be used, because it was found not to be accurate enough.

    `codecs` are pairs of tensor and codec, of every tensor that the partition sends.
    """

    edge: tuple[str, ...]
    codecs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Problem:
    """A model to be cut. `outputs` are the tensors that the user wants; layers without inputs are the model's inputs.
    `notices` are sentences on where the seconds come from that a reader of the plan should know.

    Raises:
        ProblemError: naming the layer or tensor that is wrong.
    """

    name: str
    layers: tuple[ProblemLayer, ...]
    outputs: tuple[str, ...]
    measured: tuple[Measured, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    notices: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        from dnn_surgery.planning.validation import validate

        validate(self)

    @classmethod
    def from_json(cls, text: str, where: str = "problem") -> Problem:
        """The problem in a JSON document; its keys are described in ``docs/planning.md``.

        Raises:
            ProblemError: naming the place that is wrong.
        """
        from dnn_surgery.planning.problem_file import parse

        return parse(text, where)

    def to_json(self) -> str:
        """The problem as a JSON document that :meth:`from_json` reads back to an equal problem."""
        from dnn_surgery.planning.problem_file import render

        return render(self)

    @classmethod
    def from_profiles(
        cls,
        edge_profile: Profile,
        cloud_profile: Profile,
        edge_slowdown: float = 1.0,
        *,
        codecs: Collection[str] | None = None,
    ) -> Problem:
        """The problem that two profiles of one model make; seconds of the edge are multiplied by `edge_slowdown`.

        `codecs` are the ids admitted beside raw, of those that the edge measured; None: all that lose nothing.

        Raises:
            ProfileError: the profiles belong to different models.
            InputError: the slow-down is not positive.
        """
        from dnn_surgery.planning.from_profiles import from_profiles
        from dnn_surgery.planning.measured_codecs import with_measured_codecs

        problem = from_profiles(edge_profile, cloud_profile, edge_slowdown)
        return with_measured_codecs(problem, edge_profile, cloud_profile, edge_slowdown, admitted=codecs)

    @cached_property
    def structure(self) -> Structure:
        """The same problem as indices and arrays, in topological order; what the solvers read."""
        from dnn_surgery.planning.structure import Structure

        return Structure.of(self)

    @cached_property
    def frontier(self) -> Frontier | None:
        """The frontier, built once; None where there are too many combinations of partitions and codecs.

        Raises:
            InfeasibleError: pins contradict each other.
        """
        from dnn_surgery.planning.frontier import frontier_below

        return frontier_below(self)

    @property
    def tiers(self) -> int:
        """How many tiers the layers have seconds for; 2 is the usual edge and cloud."""
        return len(self.layers[0].tier_s)

    def with_pins(self, *, edge: Iterable[str] = (), cloud: Iterable[str] = ()) -> Problem:
        """The same problem with these layers fixed to a side.

        Raises:
            ProblemError: a name is no layer, is given for both sides, or an input is pinned to the cloud.
        """
        pins: dict[str, Side] = dict.fromkeys(edge, "edge")
        for name in cloud:
            if pins.get(name) == "edge":
                raise ProblemError(f"layer {name!r} cannot be pinned to both sides")
            pins[name] = "cloud"
        self._check_layers(pins)
        return replace(self, layers=tuple(replace(layer, pin=pins.get(layer.name, layer.pin)) for layer in self.layers))

    def with_measured(self, rows: Iterable[Measured]) -> Problem:
        """The same problem with these whole heads and tails; a row replaces an earlier one of the same partition."""
        inputs = frozenset(layer.name for layer in self.layers if not layer.inputs)
        merged = {inputs.union(row.edge): row for row in (*self.measured, *rows)}
        return replace(self, measured=tuple(merged.values()))

    def without(self, plan: Plan) -> Problem:
        """The same problem without this plan's partition and codecs: accuracy belongs to both together.

        The partition stays allowed with other codecs, the codecs with other partitions.
        """
        ban = Forbidden(plan.edge, tuple((sent.tensor, sent.codec) for sent in plan.sent))
        return self if ban in self.forbidden else replace(self, forbidden=(*self.forbidden, ban))

    def with_codecs(self, codecs: Mapping[str, Iterable[CodecCost]]) -> Problem:
        """The same problem with these as all the codecs that the named tensors may travel with.

        Raises:
            ProblemError: a name is no tensor, or has an empty list.
        """
        lists = {name: tuple(ways) for name, ways in codecs.items()}
        known = {tensor.name for layer in self.layers for tensor in layer.outputs}
        for name, ways in lists.items():
            if name not in known:
                raise ProblemError(f"no tensor {name!r} in {self.name}{near(name, known)}")
            if not ways:
                raise ProblemError(f"tensor {name!r} needs at least one codec; send=False keeps it at the edge")
        return replace(
            self,
            layers=tuple(
                replace(layer, outputs=tuple(replace(t, codecs=lists.get(t.name, t.codecs)) for t in layer.outputs))
                for layer in self.layers
            ),
        )

    def cost(
        self,
        *,
        edge: Collection[str],
        link: Link,
        codecs: Mapping[str, str] | None = None,
        edge_load: float = 1.0,
        cloud_load: float = 1.0,
    ) -> Plan:
        """What a partition costs on a link: the plan whose edge runs the layers `edge` (inputs always belong to it).

        `codecs` names the codec of some boundary tensors; the others take the one that is cheapest in latency. The
        loads multiply the seconds of each side.

        Raises:
            ProblemError: a name is unknown, or a layer of `edge` needs one that is not in `edge`.
            InfeasibleError: the partition would send a tensor that may not leave, or breaks a pin.
        """
        from dnn_surgery.planning.score import score_named

        return score_named(self, edge=edge, link=link, codecs=codecs or {}, loads=(edge_load, cloud_load))

    def _check_layers(self, names: Iterable[str]) -> None:
        known = {layer.name for layer in self.layers}
        for name in names:
            if name not in known:
                raise ProblemError(f"no layer {name!r} in {self.name}{near(name, known)}")
