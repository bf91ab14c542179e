from pathlib import Path

import pytest

from dnn_surgery.planning import Problem

DATA = Path(__file__).parent / "data"


@pytest.fixture
def paper() -> Problem:
    """Tiny YOLOv2 with the times that the paper's figure 7 shows."""
    return Problem.from_json((DATA / "paper-tiny-yolov2.json").read_text(encoding="utf-8"))
