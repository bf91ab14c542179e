"""What the edge tells Prometheus, frame by frame."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from dnn_surgery.edge.result import FrameResult
from dnn_surgery.metrics import STAGE_BUCKETS


class EdgeMetrics:
    """Counts frames.

    Args:
        registry: where the metrics go.
        whole_s: what a frame takes on this device alone, for the computing that the cloud saved it; None: unknown.
    """

    def __init__(self, registry: CollectorRegistry, *, whole_s: float | None = None) -> None:
        self.whole_s = whole_s
        self._frames = Counter(
            "dnn_surgery_edge_frames", "Frames by who finished them", ["finished_by"], registry=registry
        )
        self._local = Counter(
            "dnn_surgery_edge_local_finishes", "Frames finished here because the cloud could not", registry=registry
        )
        self._stages = Histogram(
            "dnn_surgery_edge_stage_seconds",
            "Seconds of a frame by stage",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._sent = Counter("dnn_surgery_edge_sent_bytes", "Bytes sent to the cloud", registry=registry)
        self._saved = Counter(
            "dnn_surgery_edge_compute_saved_seconds", "Seconds that the cloud computed for us", registry=registry
        )

    def __call__(self, result: FrameResult) -> None:
        """Counts a frame."""
        self._frames.labels(result.finished_by).inc()
        stages = {
            "edge": result.edge_s,
            "transfer": result.transfer_s,
            "cloud": result.cloud_s,
            "local": result.local_s,
        }
        for stage, seconds in stages.items():
            if seconds:
                self._stages.labels(stage).observe(seconds)
        self._stages.labels("total").observe(result.latency_s)
        self._sent.inc(result.sent_bytes)
        if result.failure:
            self._local.inc()
        if self.whole_s is not None and result.finished_by == "cloud":
            self._saved.inc(max(0.0, self.whole_s - result.edge_s))
