"""How near a server comes to its processor: throughput at saturation, and the tail of the latency at 80 % load."""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from benchmarks import wire
from benchmarks.figure import Figure, quartile_range
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.model.reference import load_model
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.pending import InferenceReply, PendingReply

# A tail of 20 ms or more on one thread, behind a boundary tensor of 0.8 MB.
MODEL, CUT = "resnet18", "layer1.0.conv2"
ROUNDS, ROUND_S, IN_FLIGHT = 7, 3.0, 4
CLIENTS, LOAD, REQUESTS = 50, 0.8, 1000
LATEST = 50


def run() -> list[Figure]:
    """Server on one core, clients on the other; the same tail called in a loop on the server's core."""
    graph = load_model(MODEL)
    engine = make_engine(graph, threads=1)
    edge = graph.edge_layers(CUT)
    head, tail = Head(engine, edge), Tail(engine, edge)
    picture = np.zeros([size or 1 for size in graph.tensors[graph.inputs[0]].shape], np.uint8)
    sent = {name: array for name, array in head({graph.inputs[0]: picture}).items() if name in tail.inputs}
    cores = sorted(os.sched_getaffinity(0))
    figures = []
    with pinned(cores[-1]), CloudProcess(MODEL) as server:
        pin_process(server.pid, cores[0])
        loop_hz, served_hz, processor = [], [], []
        with InferenceClient(server.address, model_name=MODEL, fingerprint=graph.fingerprint) as client:
            client.infer(sent, tail.tensors.remaining)
            for _ in range(ROUNDS):
                with pinned(cores[0]):
                    loop, loop_processor_s = _looped(tail, sent)
                rate, server_processor_s = served(client, sent, tail.tensors.remaining, server.pid)
                loop_hz.append(loop)
                served_hz.append(rate)
                processor.append(loop_processor_s / server_processor_s)
        ratios = [one / other for one, other in zip(served_hz, loop_hz, strict=True)]
        loop = statistics.median(loop_hz)
        figures.append(Figure("the tail in a loop", loop, "/s", spread=quartile_range(loop_hz)))
        figures.append(Figure("one run of it", 1e3 / loop, "ms", at_least=20.0))
        share = statistics.median(served_hz) / loop
        name = f"requests/s at saturation over the loop ({sum(a.nbytes for a in sent.values()) / 1e6:.2g} MB each)"
        figures.append(Figure(name, share, at_least=0.9, spread=quartile_range(ratios)))
        # Other programs on the machine cost both of them time, but no processor seconds.
        name = "processor seconds of the loop over the server's, a request"
        figures.append(Figure(name, statistics.median(processor), at_least=0.9, spread=quartile_range(processor)))
        figures += _tail_latency(server.address, graph.fingerprint, sent, tail.tensors.remaining, 1 / loop)
    return figures + wire.run([100_000])


def _looped(tail: Tail, sent: Mapping[str, Array]) -> tuple[float, float]:
    """Calls a second, and the processor seconds of one."""
    started_s, started_processor_s, count = time.perf_counter(), time.thread_time(), 0
    while time.perf_counter() - started_s < ROUND_S:
        tail(sent)
        count += 1
    return count / (time.perf_counter() - started_s), (time.thread_time() - started_processor_s) / count


def served(
    client: InferenceClient,
    sent: Mapping[str, Array],
    remaining: Sequence[str],
    pid: int,
    *,
    in_flight: int = IN_FLIGHT,
) -> tuple[float, float]:
    """Replies a second while some requests are always under way, those at both ends left out; as :func:`_looped`."""
    done: list[float] = []
    before_s = _processor_s(pid)
    ends_s = time.perf_counter() + ROUND_S

    def ask() -> None:
        # On a machine that is busy otherwise the time alone would leave nothing between the two ends.
        while time.perf_counter() < ends_s or len(done) < 4 * in_flight:
            client.infer(sent, remaining)
            done.append(time.perf_counter())

    threads = [threading.Thread(target=ask) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inner = sorted(done)[in_flight:-in_flight]
    return (len(inner) - 1) / (inner[-1] - inner[0]), (_processor_s(pid) - before_s) / len(done)


def _processor_s(pid: int) -> float:
    """What all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tail_latency(
    address: str, fingerprint: str, sent: Mapping[str, Array], remaining: Sequence[str], service_s: float
) -> list[Figure]:
    """Poisson arrivals of many clients, and a queue simulated with the very arrivals and service times.

    The arrivals' rate follows the latest service times, so that the load stays what it is on a machine that drifts.
    """
    rng = random.Random(7)
    latest_s = deque([service_s], maxlen=LATEST)
    taken: list[tuple[float, InferenceReply]] = []
    unread: deque[tuple[float, PendingReply]] = deque()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(InferenceClient(address, model_name=MODEL, fingerprint=fingerprint, timeout_s=60.0))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.server_metadata()
        due_s = time.perf_counter()
        for _ in range(REQUESTS):
            while unread and unread[0][1].done():
                sent_s, pending = unread.popleft()
                taken.append((sent_s, pending.result()))
                latest_s.append(taken[-1][1].compute_s)
            due_s += rng.expovariate(LOAD / statistics.mean(latest_s))
            time.sleep(max(0.0, due_s - time.perf_counter()))
            sent_s = time.perf_counter()
            unread.append((sent_s, rng.choice(clients).infer_async(sent, remaining)))
        taken += [(sent_s, pending.result()) for sent_s, pending in unread]
    measured = [reply.elapsed_s for _, reply in taken]
    simulated = _simulated([(sent_s, reply.compute_s) for sent_s, reply in taken])
    load = sum(reply.compute_s for _, reply in taken) / (taken[-1][0] - taken[0][0])
    ratio = _p99(measured) / _p99(simulated)
    return [
        Figure(f"{CLIENTS} clients, load by service times", load),
        Figure("p99 of the latency", 1e3 * _p99(measured), "ms"),
        Figure("p99 of a simulated queue", 1e3 * _p99(simulated), "ms"),
        Figure("p99 over the simulated queue's", ratio, at_most=1.2),
    ]


def _simulated(requests: Sequence[tuple[float, float]]) -> list[float]:
    """Seconds in a first-in-first-out queue with one server, of (arrival, service) pairs."""
    free_s, sojourns_s = 0.0, []
    for arrival_s, service_s in requests:
        free_s = max(free_s, arrival_s) + service_s
        sojourns_s.append(free_s - arrival_s)
    return sojourns_s


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_process(pid: int, core: int) -> None:
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all that is wanted
        os.sched_setaffinity(int(thread), {core})
