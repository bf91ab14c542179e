"""What the server tells Prometheus: an observer of calls, and gauges of the service."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dnn_surgery.cloud.service import TailService
from dnn_surgery.metrics import STAGE_BUCKETS, BoundedLabels
from dnn_surgery.protocol.handler import CallRecord


class CloudMetrics:
    """Counts calls. Label values are ours but for cuts, which are bounded; clients are no label: there may be many.

    Args:
        registry: where the metrics go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._calls = Counter(
            "dnn_surgery_calls", "Calls by method and gRPC status", ["method", "status"], registry=registry
        )
        self._cuts = Counter(
            "dnn_surgery_cuts", "Answered inferences by model and cut", ["model", "cut"], registry=registry
        )
        self._stages = Histogram(
            "dnn_surgery_stage_seconds",
            "Seconds of an inference by stage",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._batches = Histogram(
            "dnn_surgery_batch_size", "Inferences run together", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self._received = Counter("dnn_surgery_received_bytes", "Bytes of requests", registry=registry)
        self._sent = Counter("dnn_surgery_sent_bytes", "Bytes of replies", registry=registry)
        self._cut_label = BoundedLabels()

    def watch(self, service: TailService) -> None:
        """Adds what the service itself knows: queue, clients, slow-down."""
        gauges = (
            ("queued_requests", "Requests that wait", lambda: service.queued),
            ("held_bytes", "Bytes of requests that wait or run", lambda: service.held_bytes),
            ("clients", "Clients of the last seconds", lambda: service.clients),
        )
        for name, text, function in gauges:
            Gauge(f"dnn_surgery_{name}", text, registry=self._registry).set_function(function)
        slowdown = Gauge(
            "dnn_surgery_slowdown", "Computing against the profile, median", ["model"], registry=self._registry
        )
        for model in service.models:
            slowdown.labels(model).set_function(partial(service.slowdown, model))

    def __call__(self, call: CallRecord) -> None:
        """Counts a call."""
        self._calls.labels(call.method, call.status).inc()
        self._received.inc(call.bytes_up)
        self._sent.inc(call.bytes_down)
        if not call.stages:
            return
        self._cuts.labels(call.model, self._cut_label(" + ".join(call.cut))).inc()
        self._batches.observe(call.batch)
        for stage, seconds in (*call.stages, ("total", call.elapsed_s)):
            self._stages.labels(stage).observe(seconds)
