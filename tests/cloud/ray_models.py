"""What replicas build, by a name that their processes can import."""

from __future__ import annotations

from dnn_surgery.execution.engine import Engine
from tests.cloud.network import make

RAY_MARK = "DNN_SURGERY_TEST_RAY"


def branches() -> list[Engine]:
    return [make()]
