import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from dnn_surgery.cloud.metrics import CloudMetrics
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import AddressError, SurgeryError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.metrics import BoundedLabels, MetricsEndpoint
from dnn_surgery.protocol.client import InferenceClient
from tests.cloud.network import NAME, client_of, cuts, head

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(address: str) -> Samples:
    """Every sample, as Prometheus's own parser reads it."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def endpoint(engine: Engine) -> Iterator[tuple[str, InferenceClient]]:
    registry = CollectorRegistry()
    metrics = CloudMetrics(registry)
    with (
        MetricsEndpoint(registry, "127.0.0.1", 0) as endpoint,
        CloudServer(engine, observers=[metrics]) as server,
        client_of(server, engine.graph) as client,
    ):
        metrics.watch(server.service)
        yield f"127.0.0.1:{endpoint.port}", client


def test_what_prometheus_reads_is_what_happened(
    endpoint: tuple[str, InferenceClient], engine: Engine, inputs: dict[str, Array]
) -> None:
    address, client = endpoint
    up = down = 0
    for _ in range(3):
        reply = client.infer(inputs)
        up, down = up + reply.bytes_up, down + reply.bytes_down
    sent, remaining = head(engine, cuts(engine.graph)[2], inputs)
    reply = client.infer(sent, remaining)
    up, down = up + reply.bytes_up, down + reply.bytes_down
    with pytest.raises(SurgeryError):
        client.infer({"nothing": next(iter(inputs.values()))})
    client.infer(inputs)  # the refusal before it is counted by now
    samples = scrape(address)
    calls = "dnn_surgery_calls_total"
    assert samples[calls, (("method", "ModelInfer"), ("status", "INVALID_ARGUMENT"))] == 1
    assert samples[calls, (("method", "ModelInfer"), ("status", "OK"))] >= 4
    cut = " + ".join(sent)
    assert samples["dnn_surgery_cuts_total", (("cut", cut), ("model", NAME))] == 1
    assert samples["dnn_surgery_received_bytes_total", ()] > up
    assert samples["dnn_surgery_sent_bytes_total", ()] >= down
    for stage in ("parse", "queue", "compute", "serialise", "total"):
        assert samples["dnn_surgery_stage_seconds_count", (("stage", stage),)] >= 4
    stages = {stage: samples["dnn_surgery_stage_seconds_sum", (("stage", stage),)] for stage in ("compute", "total")}
    assert 0 < stages["compute"] < stages["total"]
    assert samples["dnn_surgery_batch_size_bucket", (("le", "1.0"),)] >= 4
    assert samples["dnn_surgery_queued_requests", ()] == 0
    assert samples["dnn_surgery_clients", ()] == 1
    assert samples["dnn_surgery_slowdown", (("model", NAME),)] == 1.0


def test_an_endpoint_that_is_taken_is_named_and_one_that_ends_is_free() -> None:
    with (
        MetricsEndpoint(CollectorRegistry(), "127.0.0.1", 0) as endpoint,
        pytest.raises(AddressError, match=f"cannot listen at 127.0.0.1:{endpoint.port} for metrics"),
    ):
        MetricsEndpoint(CollectorRegistry(), "127.0.0.1", endpoint.port)
    with MetricsEndpoint(CollectorRegistry(), "127.0.0.1", endpoint.port):
        pass


def test_labels_that_clients_make_up_are_bounded() -> None:
    label = BoundedLabels(at_most=2)
    assert [label(value) for value in "abcab"] == ["a", "b", "other", "a", "b"]
