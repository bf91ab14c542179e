"""What a request to a server in another process costs beside a bare TCP exchange of the same bytes on loopback."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.figure import Figure, interleaved, quartile_range
from benchmarks.shaping import answering_server
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.network.addresses import split_address
from dnn_surgery.protocol.client import InferenceClient

SIZES = (1_000, 100_000, 1_000_000, 12_000_000)


class FirstElement(nn.Module):
    """As little computing as possible: what is left is the wire."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[1, n] -> [1, 1]."""
        return x[:, :1].cumsum(1)


def _first_of(size: int) -> nn.Module:
    module = FirstElement().eval()
    module.example_inputs = torch.zeros(1, size // 4)
    return module


def first_of_1000() -> nn.Module:
    return _first_of(1_000)


def first_of_100000() -> nn.Module:
    return _first_of(100_000)


def first_of_1000000() -> nn.Module:
    return _first_of(1_000_000)


def first_of_12000000() -> nn.Module:
    return _first_of(12_000_000)


def run(sizes: Sequence[int] = SIZES) -> list[Figure]:
    """A unary request of several sizes, in milliseconds over the TCP exchange and as a ratio to it."""
    figures = []
    for size in sizes:
        x = np.zeros((1, size // 4), np.float32)
        payload = x.tobytes()
        with (
            CloudProcess(f"benchmarks.wire:first_of_{size}", options=["--trust-model"]) as server,
            InferenceClient(server.address, model_name=f"first_of_{size}") as client,
            _tcp() as exchange,
        ):
            calls: list[Callable[[], object]] = [partial(client.infer, {"x": x}), partial(exchange, payload)]
            request_s, tcp_s = interleaved(calls, repeats=200 if size < 10**7 else 30, warmup=20)
        over_ms = [1e3 * (one - 1.5 * other) for one, other in zip(request_s, tcp_s, strict=True)]
        figures.append(
            Figure(
                f"{size // 1000} kB: request minus 1.5 x TCP",
                1e3 * (statistics.median(request_s) - 1.5 * statistics.median(tcp_s)),
                "ms",
                at_most=1.0 if size == 100_000 else None,
                spread=quartile_range(over_ms),
            )
        )
        figures.append(Figure(f"{size // 1000} kB: request", 1e3 * statistics.median(request_s), "ms"))
        figures.append(Figure(f"{size // 1000} kB: TCP", 1e3 * statistics.median(tcp_s), "ms"))
    return figures


@contextmanager
def _tcp() -> Iterator[Callable[[bytes], None]]:
    """Sends bytes to a server that reads them all and answers with one."""
    with answering_server() as address, socket.create_connection(split_address(address)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def exchange(payload: bytes) -> None:
            client.sendall((len(payload) + 8).to_bytes(8, "big"))
            client.sendall(payload)
            client.recv(1)

        yield exchange
