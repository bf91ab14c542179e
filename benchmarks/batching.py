"""Requests/s at saturation with --batching over those without, for models that were traced with a fixed batch size."""

from __future__ import annotations

import os
import statistics

import numpy as np

from benchmarks.cloud import pin_process, pinned, served
from benchmarks.figure import Figure, quartile_range
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head
from dnn_surgery.model.reference import load_model
from dnn_surgery.protocol.client import InferenceClient

CASES = (("resnet18", "layer2.0.conv2"), ("resnet18", "layer3.1.conv2"), ("alexnet", "input"))
ROUNDS, IN_FLIGHT = 5, 16


def run() -> list[Figure]:
    """Both servers on one core in turn, the client on the other; as many requests under way as fill two batches."""
    cores = sorted(os.sched_getaffinity(0))
    with pinned(cores[-1]):
        return [_case(model, cut, cores[0]) for model, cut in CASES]


def _case(model: str, cut: str, core: int) -> Figure:
    graph = load_model(model)
    head = Head(make_engine(graph, threads=1), graph.edge_layers(cut))
    (name,) = graph.inputs
    shape = [size or 1 for size in graph.tensors[name].shape]
    made = head({name: np.zeros(shape, graph.tensors[name].dtype)})
    sent, remaining = {tensor: made[tensor] for tensor in head.tensors.sent}, head.tensors.remaining
    with CloudProcess(model) as one, CloudProcess(model, options=["--batching"]) as other:
        rates: tuple[list[float], list[float]] = [], []
        for server in (one, other):
            pin_process(server.pid, core)
        clients = [InferenceClient(server.address, model_name=graph.name, timeout_s=60.0) for server in (one, other)]
        for client, server in zip(clients, (one, other), strict=True):
            served(client, sent, remaining, server.pid, in_flight=IN_FLIGHT)  # the first batches are tried and compared
        for _ in range(ROUNDS):
            for client, server, its in zip(clients, (one, other), rates, strict=True):
                its.append(served(client, sent, remaining, server.pid, in_flight=IN_FLIGHT)[0])
        for client in clients:
            client.close()
    single_hz, batched_hz = rates
    ratios = [batched / single for single, batched in zip(single_hz, batched_hz, strict=True)]
    name = f"{model} behind {cut}: requests/s with batches over single ones ({statistics.median(single_hz):.0f}/s)"
    return Figure(name, statistics.median(ratios), at_least=1.0, spread=quartile_range(ratios))
