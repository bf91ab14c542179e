"""Run the cloud: serve models, whole or from any cut on, over the Open Inference Protocol (gRPC).

Any Triton client can send the model's own input; the project's edge sends what is left at its cut, and one that has no
model fetches it here as a bundle. The server keeps no state between requests. What it cannot take it refuses with a
hint, and the edge finishes the frame. SIGINT and SIGTERM finish the requests under way and end it. Beyond this machine
it listens with TLS only, unless --insecure allows more. Several models are served side by side; weights then stand
behind each: vgg16=vgg16.pth. Of a configuration file the port is taken, not the address: that says where devices find
the server.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_surgery.cli.model_arguments import MODEL_KEYS
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.cloud.server import CloudServer
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.profiling.profile import Profile
    from dnn_surgery.protocol.address import Address

EXAMPLE = "dnn-surgery serve resnet18 --address 0.0.0.0:50051 --tls-cert cloud.pem --tls-key cloud.key"

# What is acted on here, and what is the edge's business; credentials, say, must not be ignored without a word.
_SUPPORTED = (
    *MODEL_KEYS,
    *("server.address", "server.port", "profiles", "sources", "plan", "link", "overload", "output"),
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `serve`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments
    from dnn_surgery.cli.serving_arguments import add_serving_arguments

    add_model_arguments(parser)
    parser.add_argument("more", nargs="*", metavar="MODEL", help="more models to serve beside it")
    parser.add_argument("--address", metavar="HOST:PORT", help="where to listen (default: 127.0.0.1:50051)")
    parser.add_argument("--port", type=int, metavar="PORT", help="the port alone; 0 takes any free one")
    parser.add_argument(
        "--profile",
        metavar="FILE",
        action="append",
        help="a model's costs here, once for each model (default: measured when first asked for)",
    )
    parser.add_argument(
        "--iperf3", type=int, nargs="?", const=5201, metavar="PORT", help="start an iperf3 server beside it (5201)"
    )
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")
    parser.add_argument("--json", action="store_true", help="print a JSON line once the server listens")
    add_serving_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes."""
    from dnn_surgery.cli.logs import set_up_logging
    from dnn_surgery.cli.model_arguments import fill_from_configuration
    from dnn_surgery.cli.serving_arguments import server_options
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.cloud.iperf3 import iperf3_server
    from dnn_surgery.cloud.listening import check_exposure, check_listen

    if arguments.address is not None and arguments.port is not None:
        raise InputError("give --address or --port, not both")
    if arguments.config is not None:
        configuration = fill_from_configuration(arguments)
        configuration.check_supported(_SUPPORTED, "serve")
        if arguments.port is None:
            arguments.port = configuration.server.port
        arguments.metrics = arguments.metrics or configuration.output.metrics
    set_up_logging(arguments)
    address = _address(arguments.address, arguments.port)
    options = server_options(arguments)
    # That a port is in use should not take as long to say as a model takes to load.
    check_exposure(address, encrypted=options["tls"] is not None, insecure=arguments.insecure)
    check_listen(address)
    profiles = _profiles(arguments)
    engines = _engines(arguments, profiles)
    with ExitStack() as stack:
        signalled = stack.enter_context(until_signalled())
        server, metrics = _serve(stack, arguments, engines, address=str(address), profile=profiles, **options)
        if arguments.iperf3 is not None:
            stack.enter_context(iperf3_server(arguments.iperf3))
        if arguments.config is not None and address.loopback:
            print(
                f"dnn-surgery: notice: {server.address} is reached from this machine only; devices elsewhere need "
                "--address 0.0.0.0:PORT",
                file=sys.stderr,
            )
        print(_listening(server, [engine.graph for engine in engines], metrics, as_json=arguments.json), flush=True)
        logger.info("listening", extra={"fields": {"address": server.address, "models": server.service.models}})
        signalled.wait()
        logger.info("stopping")
    return 0


def _serve(
    stack: ExitStack, arguments: argparse.Namespace, engines: list[Engine], **options: Any
) -> tuple[CloudServer, str | None]:
    """The running server, and where Prometheus finds it."""
    from dnn_surgery.cli.metrics import metrics_endpoint
    from dnn_surgery.cloud.call_log import CallLog
    from dnn_surgery.cloud.server import CloudServer

    if arguments.metrics is None:
        return stack.enter_context(CloudServer(engines, observers=[CallLog()], **options)), None
    from prometheus_client import CollectorRegistry

    from dnn_surgery.cloud.metrics import CloudMetrics

    registry = CollectorRegistry()
    metrics = CloudMetrics(registry)
    endpoint = stack.enter_context(metrics_endpoint(registry, arguments.metrics))
    server = CloudServer(engines, observers=[CallLog(), metrics], **options)
    metrics.watch(server.service)
    return stack.enter_context(server), f"{endpoint.host}:{endpoint.port}"


def _profiles(arguments: argparse.Namespace) -> list[Profile]:
    """What the models cost here; without --threads the first one's threads are used."""
    from dnn_surgery.cli.profile_file import load_profile

    profiles = []
    for path in arguments.profile or ():
        one = argparse.Namespace(profile=path, threads=arguments.threads)
        if (profile := load_profile(one)) is not None:
            profiles.append(profile)
        arguments.threads = one.threads
    return profiles


def _engines(arguments: argparse.Namespace, profiles: list[Profile]) -> list[Engine]:
    """One for each MODEL, with the weights that stand behind it."""
    from dnn_surgery.cli.model_arguments import build_engine, load_graph
    from dnn_surgery.cli.profile_file import say_differences

    if arguments.more and arguments.weights:
        raise InputError("with several models, weights stand behind each of them: vgg16=vgg16.pth")
    engines = []
    for index, model in enumerate([arguments.model, *arguments.more]):
        # What a configuration says of its model is not true of those beside it.
        own = arguments if index == 0 else argparse.Namespace(**{**vars(arguments), "classes": None, "labels": None})
        own.model, weights = _with_weights(model)
        own.weights = weights or own.weights
        engine = build_engine(load_graph(own), own)
        say_differences({profile.fingerprint: profile for profile in profiles}.get(engine.graph.fingerprint), engine)
        engines.append(engine)
    return engines


def _with_weights(model: str | None) -> tuple[str | None, str | None]:
    """``vgg16=vgg16.pth`` -> (vgg16, vgg16.pth); a file of such a name is a file."""
    if model is None or "=" not in model or Path(model).exists():
        return model, None
    name, _, weights = model.partition("=")
    return name, weights


def _address(address: str | None, port: int | None) -> Address:
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT, parse_address

    port = DEFAULT_PORT if port is None else port
    if address is None:
        return parse_address(f"{DEFAULT_HOST}:{port}")
    return parse_address(address, default_port=port)


def _listening(server: CloudServer, graphs: list[ModelGraph], metrics: str | None, *, as_json: bool) -> str:
    """What is said once requests are answered."""
    first = graphs[0]
    if as_json:
        event: dict[str, Any] = {"event": "listening", "address": server.address}
        event.update(model=first.name, fingerprint=first.fingerprint)
        if len(graphs) > 1:
            event["models"] = {graph.name: graph.fingerprint for graph in graphs}
        if metrics is not None:
            event["metrics"] = metrics
        return json.dumps(event)
    models = ", ".join(f"{graph.name} (fingerprint {graph.fingerprint[:12]})" for graph in graphs)
    return f"serving {models} at {server.address}; Ctrl-C ends it"
