"""`serve --ray`: the same service as a Ray Serve application."""

from __future__ import annotations

import argparse
import functools
import json
import logging
from typing import TYPE_CHECKING, Any

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.protocol.address import Address

logger = logging.getLogger(__name__)


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the Ray Serve application."""
    ray = parser.add_argument_group("on Ray Serve (extra ray; docs/ray.md)")
    ray.add_argument("--ray", action="store_true", help="as an application of Ray Serve, which has no TLS")
    ray.add_argument("--replicas", metavar="N|MIN:MAX", help="with --ray: how many (default 1); Ray scales in between")
    ray.add_argument(
        "--replica-cpus", type=float, metavar="N", help="with --ray: processors that each replica takes (default 1)"
    )


def check_ray_arguments(arguments: argparse.Namespace) -> None:
    """Raises InputError where flags do not go with --ray, or need it."""
    if not arguments.ray:
        if arguments.replicas is not None or arguments.replica_cpus is not None:
            raise InputError("--replicas and --replica-cpus go with --ray")
        return
    for flag in ("tls_cert", "client_ca", "iperf3", "metrics", "address"):
        if getattr(arguments, flag) is not None:
            raise InputError(
                f"--{flag.replace('_', '-')} does not go with --ray: see docs/ray.md for what to do instead"
            )


def run_ray(arguments: argparse.Namespace, address: Address, options: dict[str, Any]) -> int:
    """Serves until a signal comes."""
    from dnn_surgery.cli.model_arguments import load_graph
    from dnn_surgery.cli.serve import load_engines, load_profiles
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.cloud.ray_replica import ReplicaOptions
    from dnn_surgery.cloud.ray_server import RayServer, Scale, parse_scale

    scale = parse_scale(arguments.replicas or "1")
    scale = Scale(scale.least, scale.most, 1.0 if arguments.replica_cpus is None else arguments.replica_cpus)
    profiles = load_profiles(arguments)
    replica = ReplicaOptions(
        functools.partial(_build, arguments),
        tuple(profiles),
        limits=options["limits"],
        batching=options["batching"],
        tokens=arguments.token_file,
        quota=options["quota"],
        max_message_bytes=options["max_message_bytes"],
    )
    ray = RayServer(replica, port=address.port, insecure=arguments.insecure, scale=scale)
    # What is wrong with a model is to be said here, in one line, not in the log of a replica.
    names = (
        [engine.graph.name for engine in load_engines(arguments, profiles)]
        if arguments.more
        else [load_graph(arguments).name]
    )
    # In this order: Ray puts a handler of its own in the place of ours, which aborts.
    with ray as server, until_signalled() as signalled:
        if arguments.json:
            print(json.dumps({"event": "listening", "address": server.address, "models": names}), flush=True)
        else:
            print(f"serving {', '.join(names)} on Ray Serve at {server.address}; Ctrl-C ends it", flush=True)
        signalled.wait()
        logger.info("stopping")
    return 0


def _build(arguments: argparse.Namespace) -> list[Engine]:
    """Called in each replica."""
    from dnn_surgery.cli.serve import load_engines, load_profiles

    return load_engines(arguments, load_profiles(arguments))
