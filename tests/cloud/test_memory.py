"""The server's memory over many requests: what is answered is forgotten."""

import statistics
from pathlib import Path

import pytest

from dnn_surgery.errors import SurgeryError
from dnn_surgery.execution.engine import Array
from dnn_surgery.protocol.client import InferenceClient
from tests.cli.serving import FACTORY, serving
from tests.cloud.network import assert_equal

IN_FLIGHT = 32
SAMPLES = 20


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def ask_many(client: InferenceClient, count: int, inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    """Good requests and bad ones, several at once."""
    for start in range(0, count, IN_FLIGHT):
        good = [client.infer_async(inputs) for _ in range(IN_FLIGHT - 2)]
        bad = [client.infer_async({"nothing": array}) for array in list(inputs.values()) * 2]
        replies = [one.result() for one in good]
        if start % (IN_FLIGHT * 20) == 0:
            assert_equal(dict(replies[-1].tensors), expected)
        for one in bad:
            with pytest.raises(SurgeryError, match="unknown tensors"):
                one.result()


@pytest.mark.parametrize(("warm_up", "count"), [(1_000, 2_500), pytest.param(10_000, 50_000, marks=pytest.mark.slow)])
def test_memory_stays_flat(warm_up: int, count: int, inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    arguments = (FACTORY, "--trust-model", "--device", "cpu", "--threads", "1", "--port", "0", "--json")
    resident: list[int] = []
    with (
        serving(*arguments, "--metrics", "127.0.0.1:0") as running,
        InferenceClient(running.event["address"], model_name=running.event["model"], timeout_s=60.0) as client,
    ):
        ask_many(client, warm_up, inputs, expected)
        for _ in range(SAMPLES):
            ask_many(client, count // SAMPLES, inputs, expected)
            resident.append(resident_bytes(running.process.pid))
    # The allocator breathes by five megabytes, up and down: one sample at each end would measure that. The middles of
    # the first and the last quarter are three quarters of the requests apart: a hundred bytes kept of each of fifty
    # thousand would be 3.75 MB.
    quarter = SAMPLES // 4
    grown_bytes = statistics.median(resident[-quarter:]) - statistics.median(resident[:quarter])
    assert grown_bytes < 3 * 2**20, f"{grown_bytes} bytes over {count} requests: {resident}"
