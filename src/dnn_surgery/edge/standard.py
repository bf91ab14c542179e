"""An edge with a server of another make, which serves exported tails and says nothing of its costs.

The cut is given, or planned from a profile of the server that somebody took, among those cuts whose tail it serves.
Before the first frame the tail's answer to the traced example is compared with this device's: a standard server knows
no fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from dnn_surgery.edge.connected import Connected
from dnn_surgery.edge.connection import LARGEST_PROBE_BYTES
from dnn_surgery.edge.first_plan import Report
from dnn_surgery.edge.runtime import Edge
from dnn_surgery.edge.way import DEADLINE_FACTOR, LEAST_DEADLINE_S
from dnn_surgery.errors import FingerprintError, InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.split import CutTensors, Head, Tail, cut_tensors
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.network.probe import estimate_link
from dnn_surgery.planning import Link, Plan, Problem
from dnn_surgery.planning.frontier_cuts import frontier_cuts
from dnn_surgery.planning.plan import Objective
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.tails_client import TailsClient

# A server may load a model when it is first asked for.
FIRST_CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class StandardConnection(Connected):
    """An edge at work with one server; a context manager that ends the connection.

    `partition` are the layers at the edge. `plan` and `link` are what the cut was decided on; None where it was given.
    """

    partition: tuple[str, ...]
    client: TailsClient
    plan: Plan | None = None
    link: Link | None = None

    def close(self) -> None:
        """Ends the connection."""
        self.client.close()


def connect_standard(
    engine: Engine,
    address: str,
    *,
    cut: str | Iterable[str] | None = None,
    cloud_profile: Profile | None = None,
    edge_profile: Profile | None = None,
    link: Link | None = None,
    objective: Objective = "latency",
    deadline_s: float | None = None,
    slowdown: float = 1.0,
    credentials: Credentials = Credentials(),
    report: Report = lambda _: None,
) -> StandardConnection:
    """Gets ready to run frames with the tails at `address`.

    Args:
        engine: what runs the model here.
        address: ``host:port`` of a server of the Open Inference Protocol that serves exported tails.
        cut: the cut after this layer (or these); or
        cloud_profile: what the model costs on the server, to plan with.
        edge_profile: what it costs here; measured if not given and needed.
        link: how fast the way to the server is; estimated from ServerLive calls if not given and needed.
        objective: what the plan makes best.
        deadline_s: how long the cloud may take for a frame; four times what is to be expected by default, at least 2 s.
        slowdown: emulates a device slower by this factor.
        credentials: TLS and a token, for servers that want them.
        report: told what is going on, for people who wait.

    Raises:
        InputError: neither `cut` nor `cloud_profile` is given, or both.
        UnreachableError: no server answers.
        UnknownModelError: it does not serve the cut's tail.
        FingerprintError: the tail that it serves is of another model or other weights.
        ModelError: `cut` is no layer.
    """
    if (cut is None) == (cloud_profile is None):
        raise InputError(
            "a server of the standard protocol says nothing of its costs: give either the cut (--cut LAYER) or a "
            "profile of that server (--cloud-profile FILE)"
        )
    if deadline_s is not None and not deadline_s > 0:
        raise InputError(f"the deadline of a frame must be positive, got {deadline_s} s")
    graph = engine.graph
    forced = None if cut is None else graph.edge_layers(cut)
    with ExitStack() as undo:
        client = TailsClient(address, graph, credentials=credentials)
        undo.callback(client.close)
        client.check_live()
        plan = None
        if cloud_profile is not None:
            if edge_profile is None:
                report("profiling this device")
                edge_profile = profile(graph, engine=engine)
            link = link or _probed(client, report)
            plan = best_served(
                graph, Problem.from_profiles(edge_profile, cloud_profile, slowdown), link, objective, client
            )
        partition = plan.edge if plan is not None else forced or ()
        answered_s = _check_answer(engine, Head(engine, partition), Tail(engine, partition), client)
        if deadline_s is None:
            expected_s = answered_s if plan is None else plan.latency_s
            deadline_s = max(LEAST_DEADLINE_S, DEADLINE_FACTOR * expected_s)
        edge = Edge(engine, partition, client=client, deadline_s=deadline_s, slowdown=slowdown)
        undo.pop_all()
    return StandardConnection(edge, tuple(partition), client, plan, None if plan is None else link)


def _probed(client: TailsClient, report: Report) -> Link:
    report("estimating the link")
    estimate = estimate_link(client.probe, max_bytes=LARGEST_PROBE_BYTES)
    return Link(bandwidth_bps=estimate.bandwidth_bps, rtt_s=estimate.rtt_s)


def best_served(graph: ModelGraph, problem: Problem, link: Link, objective: Objective, client: TailsClient) -> Plan:
    """The best plan with raw tensors among the cuts whose tail the server has; staying local is always possible.

    What is served restricts the choice, so it is asked before anything is left out as dominated: all cuts behind one
    layer, those of the frontier, and the whole model on either side, the best first.
    """
    whole = tuple(layer.name for layer in graph.layers)
    cuts = [whole, *(graph.edge_layers(layer.name) for layer in graph.layers)]
    if problem.frontier is not None:
        cuts += frontier_cuts(problem)
    plans = []
    for cut in {frozenset(cut): cut for cut in cuts}.values():
        raw = dict.fromkeys(cut_tensors(graph, cut).sent, "raw")
        plans.append(problem.cost(edge=cut, link=link, codecs=raw))
    value: Callable[[Plan], tuple[float, float]] = (
        (lambda plan: (plan.bottleneck_s, plan.latency_s))
        if objective == "throughput"
        else (lambda plan: (plan.latency_s, plan.bottleneck_s))
    )
    asked: dict[CutTensors, bool] = {}
    for plan in sorted(plans, key=value):
        tensors = cut_tensors(graph, plan.edge)
        if not tensors.remaining:
            return plan
        if tensors not in asked:
            asked[tensors] = client.serves(tensors.sent, tensors.remaining)
        if asked[tensors]:
            return plan
    raise AssertionError("the whole model at the edge is among the plans")


def _check_answer(engine: Engine, head: Head, tail: Tail, client: TailsClient) -> float:
    """Compares the server's answer to the traced example with this device's; seconds that the call took.

    Raises:
        UnknownModelError: the server has no such tail.
        FingerprintError: it is of another model, or has other weights.
    """
    tensors = head.tensors
    if not tensors.remaining:
        return 0.0
    client.check_served(tensors.sent, tensors.remaining)
    example = {name: engine.to_array(value) for name, value in engine.example().items()}
    held = head(example)
    expected = tail(held)
    given = {name: held[name] for name in tensors.sent}
    # The first call may wait for a server that loads; the second one says what a frame takes.
    client.infer(given, tensors.remaining, timeout_s=FIRST_CALL_TIMEOUT_S)
    reply = client.infer(given, tensors.remaining, timeout_s=FIRST_CALL_TIMEOUT_S)
    for name in tensors.remaining:
        array = reply.tensors.get(name)
        found = float("inf")
        if array is not None and array.size == expected[name].size:
            found = deviation(array.reshape(expected[name].shape), expected[name])
        if not found <= TOLERANCE:
            raise FingerprintError(
                f"the server at {client.address} answers the traced example otherwise than this device: its {name!r} "
                f"is {found:.2g} of its range away (tolerance {TOLERANCE:.2g}), so its tail has other weights"
            )
    return reply.elapsed_s
