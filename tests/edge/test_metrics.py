from prometheus_client import CollectorRegistry

from dnn_surgery.edge.metrics import EdgeMetrics
from dnn_surgery.edge.result import FrameResult


def result(finished_by: str, **values: object) -> FrameResult:
    fields: dict[str, object] = {"index": 0, "name": "", "outputs": {}, "latency_s": 0.5, "edge_s": 0.1, **values}
    return FrameResult(finished_by=finished_by, **fields)  # type: ignore[arg-type]


def test_frames_finishes_bytes_and_saved_seconds_are_counted() -> None:
    registry = CollectorRegistry()
    count = EdgeMetrics(registry, whole_s=0.4)
    count(result("cloud", transfer_s=0.2, cloud_s=0.1, sent_bytes=1000))
    count(result("cloud", edge_s=0.6, transfer_s=0.2, cloud_s=0.1, sent_bytes=500))
    count(result("edge", local_s=0.3, failure="the server is busy"))
    count(result("edge"))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"dnn_surgery_edge_{name}", labels)

    assert value("frames_total", finished_by="cloud") == 2
    assert value("frames_total", finished_by="edge") == 2
    assert value("local_finishes_total") == 1
    assert value("sent_bytes_total") == 1500
    # 0.4 s alone, of which 0.1 s were spent here; more than alone saves nothing.
    saved_s = value("compute_saved_seconds_total")
    assert saved_s is not None
    assert abs(saved_s - 0.3) < 1e-9
    assert value("stage_seconds_count", stage="total") == 4
    assert value("stage_seconds_count", stage="local") == 1
    assert value("stage_seconds_count", stage="cloud") == 2
