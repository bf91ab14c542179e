"""The edge is tested against the real server."""

from tests.cloud.conftest import client, engine, expected, graph, inputs, server

__all__ = ["client", "engine", "expected", "graph", "inputs", "server"]
