"""From a model and an address to a running edge: compare fingerprints, measure, plan, build the parts.

server --profile--> Problem <--profile-- this device
                       |
        link --probe---+--> Plan --> Edge
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

from dnn_surgery.edge.result import FrameResult
from dnn_surgery.edge.runtime import Edge, NamedInputs
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.network.probe import estimate_link
from dnn_surgery.planning import Link, Plan, Problem, plan
from dnn_surgery.planning.plan import Objective
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.client import InferenceClient

# A frame may take several times what was predicted (other work on either side) before the edge takes it back.
DEADLINE_FACTOR, LEAST_DEADLINE_S = 4.0, 2.0

# Below any sensible message limit of a server. A link that is too fast for it is not what makes a frame late.
LARGEST_PROBE_BYTES = 1_000_000

Report = Callable[[str], None]


@dataclass(frozen=True)
class Connection:
    """An edge at work with one server; a context manager that ends the connection.

    `plan` is where the model is cut, `problem` and `link` what that was decided on.
    """

    edge: Edge
    plan: Plan
    problem: Problem
    link: Link
    client: InferenceClient

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, inputs: Mapping[str, Array], *, name: str = "") -> FrameResult:
        """One frame; see :meth:`Edge.__call__`."""
        return self.edge(inputs, name=name)

    def stream(self, frames: Iterable[NamedInputs], *, in_flight: int = 2) -> Iterator[FrameResult]:
        """Results in order; see :meth:`Edge.stream`."""
        return self.edge.stream(frames, in_flight=in_flight)

    def close(self) -> None:
        """Ends the connection."""
        self.client.close()


def connect(
    graph: ModelGraph,
    address: str,
    *,
    cut: str | Iterable[str] | None = None,
    link: Link | None = None,
    edge_profile: Profile | None = None,
    objective: Objective = "latency",
    algorithm: str = "exact",
    engine: Engine | None = None,
    deadline_s: float | None = None,
    slowdown: float = 1.0,
    timeout_s: float = 10.0,
    report: Report = lambda _: None,
) -> Connection:
    """Plans for the server at `address` and gets ready to run frames.

    Args:
        graph: the model; the server must hold the same one, with the same weights.
        address: ``host:port``.
        cut: forces the cut after this layer (or these).
        link: how fast the way to the server is; probed if not given.
        edge_profile: what the model costs here; measured if not given.
        objective: what the plan makes best. algorithm: how (see :func:`dnn_surgery.planning.plan`).
        engine: what runs the model here.
        deadline_s: how long the cloud may take for a frame; four times the prediction by default, at least 2 s.
        slowdown: emulates a device slower by this factor.
        timeout_s: for the calls made while connecting.
        report: told what is going on, for people who wait.

    Raises:
        UnreachableError: no server answers.
        FingerprintError: the server holds another model or other weights.
        ModelError: `cut` is no layer.
    """
    if deadline_s is not None and not deadline_s > 0:
        raise InputError(f"the deadline of a frame must be positive, got {deadline_s} s")
    forced = None if cut is None else graph.edge_layers(cut)
    engine = engine or make_engine(graph)
    client = InferenceClient(address, model_name=graph.name, fingerprint=graph.fingerprint, timeout_s=timeout_s)
    try:
        client.model_metadata()
        report(f"asking {address} for its profile")
        cloud_profile = client.fetch_profile()
        if edge_profile is None:
            report("profiling this device")
            edge_profile = profile(graph, engine=engine)
        problem = Problem.from_profiles(edge_profile, cloud_profile, slowdown)
        for notice in problem.notices:
            report(f"notice: {notice}")
        if link is None:
            report("probing the link")
            estimate = estimate_link(client.probe, max_bytes=LARGEST_PROBE_BYTES)
            link = Link(bandwidth_bps=estimate.bandwidth_bps, rtt_s=estimate.rtt_s)
        if forced is None:
            chosen = plan(problem, link, objective, algorithm=algorithm)
        else:
            chosen = problem.cost(edge=forced, link=link)
        if deadline_s is None:
            deadline_s = max(LEAST_DEADLINE_S, DEADLINE_FACTOR * chosen.latency_s)
        edge = Edge(
            engine,
            chosen.edge,
            client=client,
            codecs={sent.tensor: sent.codec for sent in chosen.sent},
            deadline_s=deadline_s,
            slowdown=slowdown,
        )
    except BaseException:
        client.close()
        raise
    return Connection(edge, chosen, problem, link, client)
