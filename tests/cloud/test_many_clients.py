import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery.edge.runtime import Edge
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.protocol.client import InferenceClient
from tests.cli.serving import REPOSITORY, environment
from tests.cloud.network import assert_equal, head

CUTS = ("input", "layer2.1.conv2", "layer3.1.conv2", "layer4.0.conv2", "layer4.1.conv2")
PROCESSES, CLIENTS_EACH, SECONDS = 4, 50, 12


@pytest.mark.slow
def test_two_hundred_clients_of_a_server_that_can_serve_a_few(tmp_path: Path) -> None:
    """What the server cannot take is refused at once and finished at the edge; no answer is wrong, none is lost."""
    graph = load_model("resnet18")
    engine = make_engine(graph, device="cpu", threads=1)
    (name,) = graph.inputs
    picture = np.random.default_rng(3).integers(0, 256, [size or 1 for size in graph.tensors[name].shape], np.uint8)
    expected = engine.part(graph.inputs, graph.outputs)({name: picture})
    stored: dict[str, Array] = {}
    for cut in CUTS:
        sent, remaining = head(engine, graph.edge_layers(cut), {name: picture})
        stored |= {f"{cut}/in/{tensor}": array for tensor, array in sent.items()}
        stored |= {f"{cut}/out/{tensor}": expected[tensor] for tensor in remaining}
    np.savez(tmp_path / "frames.npz", **stored)  # type: ignore[arg-type]

    with CloudProcess("resnet18", options=["--max-queue", "24"]) as server:
        common = [server.address, graph.name, graph.fingerprint, str(tmp_path / "frames.npz")]
        fleet = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.cloud.offering", *common, str(CLIENTS_EACH), str(SECONDS), str(seed)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
                cwd=REPOSITORY,
            )
            for seed in range(PROCESSES)
        ]
        finished: Counter[str] = Counter()
        with InferenceClient(server.address, model_name=graph.name, fingerprint=graph.fingerprint) as client:
            edge = Edge(engine, graph.edge_layers(CUTS[3]), client=client, deadline_s=2.0)
            while any(process.poll() is None for process in fleet):
                result = edge({name: picture})
                assert_equal(dict(result.outputs), expected)
                finished[result.finished_by] += 1
        outcomes: Counter[str] = Counter()
        for process in fleet:
            assert process.wait() == 0
            assert process.stdout is not None
            outcomes.update(json.loads(process.stdout.read()))
            process.stdout.close()

    assert sum(outcomes.values()) == PROCESSES * CLIENTS_EACH * SECONDS, outcomes
    assert set(outcomes) <= {"refused", "late", *(f"answered {cut}" for cut in CUTS)}, outcomes
    assert all(outcomes[f"answered {cut}"] for cut in CUTS), outcomes
    assert outcomes["refused"], outcomes
    assert finished["edge"], finished
