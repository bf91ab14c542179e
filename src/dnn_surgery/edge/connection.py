"""From a model and an address to a running edge: compare fingerprints, measure, plan, build the parts.

server --profile--> Problem <--profile-- this device
                       |
        link --probe---+--> Plan --> Runner, which follows the link from then on, or Edge, whose cut stays
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, get_args

from dnn_surgery.calibration.calibration import Calibration
from dnn_surgery.calibration.guard import Guarded
from dnn_surgery.edge.budget import DataBudget
from dnn_surgery.edge.connected import Connected
from dnn_surgery.edge.controller import Controller
from dnn_surgery.edge.device import Device
from dnn_surgery.edge.events import OnEvent, ignore
from dnn_surgery.edge.first_plan import Report, Wish, choose_first, controller_for, problem_of
from dnn_surgery.edge.follow import Follower
from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.edge.runner import Runner
from dnn_surgery.edge.way import Ways
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.network.iperf3 import DEFAULT_PORT, run_iperf3
from dnn_surgery.network.probe import Sample, estimate_link
from dnn_surgery.planning import Limits, Link, Plan, Problem
from dnn_surgery.planning.plan import Objective
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.address import parse_address
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.units import format_size

# Below any sensible message limit of a server. A link that is too fast for it is not what makes a frame late.
LARGEST_PROBE_BYTES = 1_000_000

# What a probe sends where probes alone are learnt from, and how often iperf3, which takes a second, may run.
PROBE_BYTES = 64_000
IPERF3_EVERY_S = 30.0

Estimate = Literal["passive", "probe", "iperf3"]


@dataclass(frozen=True)
class Connection(Connected):
    """An edge at work with one server; a context manager that ends the connection.

    `plan` is where the model is cut first, `problem` and `link` what that was decided on, `guarded` what its accuracy
    rests on. `follower` says how it goes on, `watch` what is known of the link since.
    """

    plan: Plan
    problem: Problem
    link: Link
    client: InferenceClient
    follower: Follower
    watch: LinkWatch
    ways: Ways
    guarded: Guarded | None = None

    def close(self) -> None:
        """Ends the connection."""
        self.client.close()
        self.ways.close()


def connect(
    graph: ModelGraph,
    address: str,
    *,
    cut: str | Iterable[str] | None = None,
    link: Link | None = None,
    edge_profile: Profile | None = None,
    objective: Objective = "latency",
    rate_hz: float | None = None,
    algorithm: str = "exact",
    follow: bool = True,
    engine: Engine | None = None,
    deadline_s: float | None = None,
    memory_bytes: float | None = None,
    budget: DataBudget | None = None,
    estimate: Estimate = "passive",
    iperf3_port: int = DEFAULT_PORT,
    slowdown: float = 1.0,
    calibration: Calibration | None = None,
    timeout_s: float = 10.0,
    credentials: Credentials = Credentials(),
    report: Report = lambda _: None,
    on_event: OnEvent = ignore,
) -> Connection:
    """Plans for the server at `address` and gets ready to run frames.

    Args:
        graph: the model; the server must hold the same one, with the same weights.
        address: ``host:port``.
        cut: forces the cut after this layer (or these).
        link: how fast the way to the server is at first; probed if not given.
        edge_profile: what the model costs here; measured if not given.
        objective: what the plan makes best. rate_hz: only plans that keep up with so many frames a second, if any does.
        algorithm: how it is planned (see :func:`dnn_surgery.planning.plan`).
        follow: whether the cut follows the link and the loads from frame to frame (a forced one, and one of another
            algorithm than ``exact``, stays).
        engine: what runs the model here.
        deadline_s: how long the cloud may take for a frame; by default four times its prediction, at least 1 s.
        memory_bytes: how many bytes of weights the edge may hold. Below the whole model it cannot finish frames.
        budget: how many bytes may be sent; when they are, all stays here.
        estimate: how the link is followed: ``passive`` by the frames' own transfers, with probes where there are none;
            ``probe`` by probes between frames alone; ``iperf3`` by that program, for which the server needs
            ``serve --iperf3``. iperf3_port: where that listens.
        slowdown: emulates a device slower by this factor.
        calibration: frames on which codecs are measured, and the accuracy to prove on them.
        timeout_s: for the calls made while connecting.
        credentials: TLS and a token, for servers that want them.
        report: told what is going on, for people who wait.
        on_event: told of every change while frames run, with its reason.

    Raises:
        UnreachableError: no server answers.
        CertificateError: no encrypted connection comes about. UnauthenticatedError: the server wants another token.
        FingerprintError: the server holds another model or other weights.
        ModelError: `cut` is no layer.
        InfeasibleError: no plan keeps the memory limit.
    """
    if deadline_s is not None and not deadline_s > 0:
        raise InputError(f"the deadline of a frame must be positive, got {deadline_s} s")
    forced = None if cut is None else graph.edge_layers(cut)
    limits = Limits(edge_param_bytes=memory_bytes)
    wish = Wish(forced, objective, rate_hz, algorithm, follow, deadline_s, limits, calibration)
    engine = engine or make_engine(graph)
    with ExitStack() as undo:
        client = InferenceClient(
            address,
            model_name=graph.name,
            fingerprint=graph.fingerprint,
            timeout_s=timeout_s,
            credentials=credentials,
        )
        undo.callback(client.close)
        ways = Ways(engine, memory_bytes=memory_bytes)
        undo.callback(ways.close)
        client.model_metadata()
        report(f"asking {address} for its profile")
        problem = problem_of(engine, edge_profile, client.fetch_profile(), wish, slowdown=slowdown, report=report)
        watch = LinkWatch(on_event=on_event)
        link = _know_link(watch, client, link, report)
        _measure_by(estimate, watch, client, iperf3_port)
        problem, chosen, guarded = choose_first(engine, problem, link, wish)
        controller = controller_for(problem, chosen, wish, engine, report)
        if isinstance(controller, Controller):
            engine.prepare()
        if not ways.can_finish:
            held = f"the whole model takes {format_size(ways.model_bytes)}, more than this device may hold"
            report(f"{held}: frames that the cloud fails at will be answered as failed")
        follower = Follower(
            graph, controller, ways, watch, chosen, deadline_s=deadline_s, budget=budget, on_event=on_event
        )
        runner = Runner(follower, Device(slowdown=slowdown), client=client, watch=watch)
        undo.pop_all()
    return Connection(runner, chosen, problem, link, client, follower, watch, ways, guarded)


def _know_link(watch: LinkWatch, client: InferenceClient, link: Link | None, report: Report) -> Link:
    """The link as given, or as probed; the watch learns it too."""
    if link is not None:
        watch.assume(link.bandwidth_bps, link.rtt_s)
        return link
    report("probing the link")
    estimate = estimate_link(client.probe, max_bytes=LARGEST_PROBE_BYTES)
    for sample in estimate.samples:
        watch.transferred(sample.size_bytes, sample.seconds, idle_s=0.0)
    return Link(bandwidth_bps=estimate.bandwidth_bps, rtt_s=estimate.rtt_s)


def _measure_by(estimate: Estimate, watch: LinkWatch, client: InferenceClient, iperf3_port: int) -> None:
    """Lets probes, not frames, say how fast the link is, where that is wanted."""
    if estimate not in get_args(Estimate):
        raise InputError(f"the link's estimate must be {', '.join(get_args(Estimate))}, got {estimate!r}")
    if estimate == "probe":
        watch.probe = lambda: Sample(PROBE_BYTES, client.probe(PROBE_BYTES))
    elif estimate == "iperf3":
        host = parse_address(client.address).host

        def by_iperf3() -> Sample:
            bandwidth_bps = run_iperf3(host, port=iperf3_port, duration_s=1).bandwidth_bps
            return Sample(int(bandwidth_bps / 8), 1.0 + watch.rtt_s)

        watch.probed(by_iperf3())
        watch.probe, watch.probe_every_s = by_iperf3, IPERF3_EVERY_S
