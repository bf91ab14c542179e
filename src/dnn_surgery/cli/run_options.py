"""The flags of `run`, and the one record of what a run is to do: flags, then the configuration file, then defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_surgery.cli.credentials import CREDENTIAL_KEYS, add_credential_arguments, credentials_of, fill_credentials
from dnn_surgery.cli.metrics import add_metrics_argument
from dnn_surgery.cli.model_arguments import MODEL_KEYS
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.cli.configuration import Configuration
    from dnn_surgery.edge.budget import DataBudget
    from dnn_surgery.edge.intake import SourceSpec
    from dnn_surgery.planning import Link
    from dnn_surgery.protocol.credentials import Credentials

# Keys of a configuration file that are acted on here, beside those of the model.
SUPPORTED = (
    *MODEL_KEYS,
    *CREDENTIAL_KEYS,
    *("server.address", "server.port", "profiles.edge", "sources", "overload", "link.estimate", "output.json"),
    "output.metrics",
    *("plan.objective", "plan.deadline", "plan.max_data", "plan.accuracy", "plan.calibration"),
)

ESTIMATES = ("passive", "probe", "iperf3")
OVERLOADS = ("skip", "lower-rate", "block")

# What --local has no use for.
_REMOTE = (
    *("server", "cut", "bandwidth", "rtt", "profile", "deadline", "memory", "max_data"),
    *("link_estimate", "iperf3_port", "cloud_profile", "accuracy", "calibration", "tls_ca", "token_file"),
)


@dataclass(frozen=True)
class RunOptions:
    """What a run is to do, with all that was said put together; the model, its engine and its profile stay with the
    arguments.

    Frames: `sources`, `overload`, `frames` (stop after so many), `in_flight`. Server: `server`; None runs all here.
    `credentials` for it. `standard`: it is one of another make, with costs as in `cloud_profile`.
    Cut: `cut` (forced), `objective`, `algorithm`, `deadline_s`, `memory_bytes`, `budget`, `raw` (no codecs at all).
    Link: `link` (as said), `estimate` (how it is measured), `iperf3_port`. Device: `slowdown`. Output: `as_json`,
    `json_path` (a file of JSON lines), `save` (an annotated video), `trace`, `view`, `metrics` (an address that
    Prometheus reads from).
    """

    sources: tuple[SourceSpec, ...]
    overload: Any
    frames: int | None
    in_flight: int | None
    server: str | None
    credentials: Credentials
    standard: bool
    cloud_profile: Path | None
    cut: str | None
    objective: Any
    algorithm: str
    deadline_s: float | None
    memory_bytes: float | None
    budget: DataBudget | None
    raw: bool
    link: Link | None
    estimate: Any
    iperf3_port: int
    slowdown: float
    as_json: bool
    json_path: str | None
    save: Path | None
    trace: Path | None
    view: bool
    metrics: str | None

    @property
    def recorded(self) -> str | None:
        """A source that lies on disk, which tells what lossless codecs make of it; a camera is not opened twice."""
        from dnn_surgery.edge.live_video import is_live

        return next((str(spec.url) for spec in self.sources if not is_live(str(spec.url))), None)

    @property
    def rate_hz(self) -> float | None:
        """Frames a second of all sources together; None where one of them has no rate of its own."""
        rates = [spec.rate_hz for spec in self.sources]
        return None if any(rate is None for rate in rates) else sum(rate for rate in rates if rate is not None)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of `run` beside those of the model, in groups."""
    _add_frames(parser.add_argument_group("frames"))
    _add_server(parser.add_argument_group("server and link"))
    _add_cut(parser.add_argument_group("the cut"))
    _add_device(parser.add_argument_group("this device"))
    _add_output(parser.add_argument_group("output"))
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")


def _add_frames(group: argparse._ArgumentGroup) -> None:
    source_help = (
        "a picture, folder, glob, video, camera's number, rtsp:// or other URL, or a .streams list; repeatable"
    )
    group.add_argument("--source", metavar="WHAT", action="append", help=source_help)
    group.add_argument("--rate", type=float, metavar="HZ", help="frames a second of each --source (default: all)")
    overload_help = "when frames come too fast: skip (default), lower-rate or block"
    group.add_argument("--overload", choices=OVERLOADS, help=overload_help)
    group.add_argument("--frames", type=int, metavar="N", help="stop after so many frames")
    flight_help = "frames under way at once (default: as many as keep all stages busy)"
    group.add_argument("--in-flight", type=int, metavar="N", help=flight_help)


def _add_server(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--server", metavar="HOST:PORT", help="the cloud (default: 127.0.0.1:50051)")
    add_credential_arguments(group)
    group.add_argument("--local", action="store_true", help="run everything here, without a server")
    group.add_argument("--bundle", action="store_true", help="fetch the model from the server (done if none is named)")
    protocol_help = (
        "own (default): dnn-surgery serve; oip: any server of the Open Inference Protocol that serves the tails "
        "which export --format triton wrote"
    )
    group.add_argument("--server-protocol", choices=("own", "oip"), default="own", help=protocol_help)
    profile_help = "the costs of an oip server (dnn-surgery serve is asked for them)"
    group.add_argument("--cloud-profile", metavar="FILE", type=Path, help=profile_help)
    group.add_argument("--bandwidth", metavar="RATE", help="up, such as 5.85Mbit/s, at first (default: probed)")
    group.add_argument("--rtt", metavar="TIME", help="round trip, such as 40ms; goes with --bandwidth (default: 0)")
    estimate_help = "how the link is followed: passive (default, by the frames), probe, or iperf3"
    group.add_argument("--link-estimate", choices=ESTIMATES, help=estimate_help)
    port_help = "where the server's iperf3 listens (default: 5201)"
    group.add_argument("--iperf3-port", type=int, metavar="PORT", help=port_help)


def _add_cut(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--cut", metavar="LAYER", help="cut after this layer, always (default: follow the link)")
    objective_help = "what the plan makes best (default: latency)"
    group.add_argument("--objective", choices=("latency", "throughput"), help=objective_help)
    algorithm_help = "how it plans (default: exact; with any other the cut stays as planned first)"
    group.add_argument("--algorithm", default="exact", metavar="NAME", help=algorithm_help)
    group.add_argument("--deadline", metavar="TIME", help="for the server's answer (default: from the prediction)")
    memory_help = "weights this device may hold, such as 200MB; below the whole model it finishes no frame itself"
    group.add_argument("--memory", metavar="SIZE", help=memory_help)
    data_help = "what may be sent, such as 2GB/month; then all stays here"
    group.add_argument("--max-data", metavar="BUDGET", help=data_help)
    raw_help = "send tensors as they are, without even lossless codecs (as in the paper)"
    group.add_argument("--raw", action="store_true", help=raw_help)


def _add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--profile", metavar="FILE", help="this device's profile (default: measured now)")
    group.add_argument("--emulate-slowdown", type=float, default=1.0, metavar="K", help="play a device K times slower")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", action="store_true", help="one JSON line a frame on stdout, events on stderr")
    group.add_argument("--save", metavar="FILE.mp4", type=Path, help="a video with the answers drawn into the frames")
    trace_help = "write every frame's stages as a Chrome/Perfetto trace"
    group.add_argument("--trace", metavar="FILE", type=Path, help=trace_help)
    add_metrics_argument(group)
    group.add_argument("--no-view", action="store_true", help="no live view on a terminal")


def gather(arguments: argparse.Namespace) -> RunOptions:
    """What flags and the configuration file say together.

    Raises:
        InputError: something that makes no sense, alone or together; the message names it.
    """
    from dnn_surgery.edge.budget import DataBudget
    from dnn_surgery.network.iperf3 import DEFAULT_PORT
    from dnn_surgery.units import parse_duration, parse_size

    specs = _specs(arguments)
    if arguments.config is not None:
        from dnn_surgery.cli.model_arguments import fill_from_configuration

        configuration = fill_from_configuration(arguments)
        _check_configuration(configuration)
        specs = specs or _configured_specs(configuration)
        _fill(arguments, configuration)
    if not specs:
        raise InputError("no --source given: a picture, a folder, a glob, or a video file")
    _check(arguments)
    output = getattr(arguments, "output", None)
    return RunOptions(
        sources=specs,
        overload=arguments.overload or "skip",
        frames=arguments.frames,
        in_flight=arguments.in_flight,
        server=_server(arguments),
        credentials=credentials_of(arguments),
        standard=arguments.server_protocol == "oip",
        cloud_profile=arguments.cloud_profile,
        cut=arguments.cut,
        objective=arguments.objective or "latency",
        algorithm=arguments.algorithm,
        deadline_s=parse_duration(arguments.deadline) if arguments.deadline else None,
        memory_bytes=parse_size(arguments.memory) if arguments.memory else None,
        budget=DataBudget.parse(arguments.max_data) if arguments.max_data else None,
        raw=arguments.raw,
        link=_link(arguments),
        estimate=arguments.link_estimate or "passive",
        iperf3_port=arguments.iperf3_port or DEFAULT_PORT,
        slowdown=arguments.emulate_slowdown,
        as_json=arguments.json or output == "-",
        json_path=None if output == "-" else output,
        save=arguments.save,
        trace=arguments.trace,
        view=not arguments.no_view,
        metrics=arguments.metrics,
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that make no sense, alone or together."""
    for name in ("in_flight", "frames"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if arguments.local and (given := [name for name in _REMOTE if getattr(arguments, name) is not None]):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--local sends nothing, so it does not go with {flags}")
    if arguments.iperf3_port is not None and arguments.link_estimate != "iperf3":
        raise InputError("--iperf3-port goes with --link-estimate iperf3")
    if arguments.raw and (arguments.accuracy is not None or arguments.calibration is not None):
        raise InputError("--raw uses no codecs, so it does not go with --accuracy and --calibration")
    if arguments.server_protocol == "oip":
        _check_standard(arguments)
    elif arguments.cloud_profile is not None:
        raise InputError("--cloud-profile goes with --server-protocol oip; dnn-surgery serve is asked for its profile")


def _check_standard(arguments: argparse.Namespace) -> None:
    """What a server of another make cannot do. Its cut stays as it is, so nothing is followed."""
    if arguments.server is None:
        raise InputError("--server-protocol oip needs --server HOST:PORT, such as Triton's port 8001")
    if arguments.algorithm != "exact":
        raise InputError("--algorithm does not go with --server-protocol oip: the best served cut is taken")
    following = ("memory", "max_data", "link_estimate")
    if given := [name for name in following if getattr(arguments, name) is not None]:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"the cut stays as it is with --server-protocol oip, so it does not go with {flags}")


def _specs(arguments: argparse.Namespace) -> tuple[SourceSpec, ...]:
    """The sources that flags name; `--rate` is for those that have none of their own."""
    from dnn_surgery.edge.source_specs import read_sources

    specs = read_sources(arguments.source or [])
    return tuple(replace(spec, rate_hz=arguments.rate) if spec.rate_hz is None else spec for spec in specs)


def _configured_specs(configuration: Configuration) -> tuple[SourceSpec, ...]:
    from dnn_surgery.edge.intake import SourceSpec

    sections = configuration.sources.items()
    return tuple(SourceSpec(name, section.url, section.rate_hz, section.priority or 0) for name, section in sections)


def _check_configuration(configuration: Configuration) -> None:
    supported = [*SUPPORTED]
    if configuration.profiles.cloud_auto:
        supported.append("profiles.cloud")
    configuration.check_supported(supported, "run")


def _fill(arguments: argparse.Namespace, configuration: Configuration) -> None:
    """Takes what no flag says from the configuration file."""
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT

    server, plan = configuration.server, configuration.plan
    if arguments.server is None and (server.address or server.port):
        arguments.server = f"{server.address or DEFAULT_HOST}:{server.port or DEFAULT_PORT}"
    arguments.profile = arguments.profile or configuration.profiles.edge
    arguments.objective = arguments.objective or plan.objective
    arguments.accuracy = arguments.accuracy or plan.accuracy
    arguments.calibration = arguments.calibration or plan.calibration
    arguments.overload = arguments.overload or configuration.overload
    arguments.link_estimate = arguments.link_estimate or configuration.link.estimate
    if arguments.deadline is None and plan.deadline_s is not None:
        arguments.deadline = f"{plan.deadline_s}s"
    arguments.output = configuration.output.json
    arguments.metrics = arguments.metrics or configuration.output.metrics
    if not arguments.local:
        fill_credentials(arguments, server)
    if arguments.max_data is None and plan.max_data is not None:
        arguments.max_data = f"{plan.max_data.size_bytes}B/{plan.max_data.period}"


def _server(arguments: argparse.Namespace) -> str | None:
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT

    return None if arguments.local else arguments.server or f"{DEFAULT_HOST}:{DEFAULT_PORT}"


def _link(arguments: argparse.Namespace) -> Link | None:
    from dnn_surgery.planning import Link
    from dnn_surgery.units import parse_bandwidth, parse_duration

    if arguments.bandwidth is None:
        if arguments.rtt is not None:
            raise InputError("--rtt goes with --bandwidth; without both the link is probed")
        return None
    return Link(
        bandwidth_bps=parse_bandwidth(arguments.bandwidth),
        rtt_s=parse_duration(arguments.rtt) if arguments.rtt is not None else 0.0,
    )
