"""Run the cloud: serve a model, whole or from any cut on, over the Open Inference Protocol (gRPC).

Any Triton client can send the model's own input; the project's edge sends what is left at its cut, and one that has no
model fetches it here as a bundle. The server keeps no state between requests. SIGINT and SIGTERM finish the requests
under way and end it. Of a configuration file the port is taken, not the address: that says where devices find the
server.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from dnn_surgery.cli.model_arguments import MODEL_KEYS
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.cloud.server import CloudServer
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.protocol.address import Address

EXAMPLE = "dnn-surgery serve resnet18 --address 0.0.0.0:50051"

# What is acted on here, and what is the edge's business; credentials, say, must not be ignored without a word.
_SUPPORTED = (
    *MODEL_KEYS,
    *("server.address", "server.port", "profiles", "sources", "plan", "link", "overload", "output"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `serve`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    parser.add_argument("--address", metavar="HOST:PORT", help="where to listen (default: 127.0.0.1:50051)")
    parser.add_argument("--port", type=int, metavar="PORT", help="the port alone; 0 takes any free one")
    parser.add_argument("--profile", metavar="FILE", help="its costs here (default: measured when first asked for)")
    parser.add_argument(
        "--iperf3", type=int, nargs="?", const=5201, metavar="PORT", help="start an iperf3 server beside it (5201)"
    )
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")
    parser.add_argument("--json", action="store_true", help="print a JSON line once the server listens")


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes."""
    from dnn_surgery.cli.model_arguments import build_engine, fill_from_configuration, load_graph
    from dnn_surgery.cli.profile_file import load_profile, say_differences
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.cloud.iperf3 import iperf3_server
    from dnn_surgery.cloud.listening import check_listen
    from dnn_surgery.cloud.server import CloudServer

    if arguments.address is not None and arguments.port is not None:
        raise InputError("give --address or --port, not both")
    if arguments.config is not None:
        configuration = fill_from_configuration(arguments)
        configuration.check_supported(_SUPPORTED, "serve")
        if arguments.port is None:
            arguments.port = configuration.server.port
    address = _address(arguments.address, arguments.port)
    # That a port is in use should not take as long to say as a model takes to load.
    check_listen(address)
    profile = load_profile(arguments)
    graph = load_graph(arguments)
    engine = build_engine(graph, arguments)
    say_differences(profile, engine)
    iperf3 = nullcontext() if arguments.iperf3 is None else iperf3_server(arguments.iperf3)
    with until_signalled() as signalled, CloudServer(engine, address=str(address), profile=profile) as server, iperf3:
        if arguments.config is not None and address.loopback:
            print(
                f"dnn-surgery: notice: {server.address} is reached from this machine only; devices elsewhere need "
                "--address 0.0.0.0:PORT",
                file=sys.stderr,
            )
        print(_listening(server, graph, as_json=arguments.json), flush=True)
        signalled.wait()
    return 0


def _address(address: str | None, port: int | None) -> Address:
    from dnn_surgery.protocol.address import DEFAULT_HOST, DEFAULT_PORT, parse_address

    port = DEFAULT_PORT if port is None else port
    if address is None:
        return parse_address(f"{DEFAULT_HOST}:{port}")
    return parse_address(address, default_port=port)


def _listening(server: CloudServer, graph: ModelGraph, *, as_json: bool) -> str:
    if as_json:
        event = {"event": "listening", "address": server.address, "model": graph.name, "fingerprint": graph.fingerprint}
        return json.dumps(event)
    return f"serving {graph.name} (fingerprint {graph.fingerprint[:12]}) at {server.address}; Ctrl-C ends it"
