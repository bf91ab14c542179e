"""The one table of what the documentation shows and a test cannot run, with the reason.

`dnn-surgery` commands among them are parsed all the same, targets of make and modules of python must exist.
"""

from __future__ import annotations

import re

# A pattern of the command, and why it is not run here. The first that matches holds.
UNRUN: tuple[tuple[str, str], ...] = (
    (r"^make ", "installs and builds; what it does is what .ci/run does"),
    (r"^(python3 -m venv|\. \.venv|pip install)", "installs into an environment; tests run in one that is there"),
    (r"^(sudo|apt-get|systemctl|docker|scp|ssh|git|chrt|nice) ?", "changes the machine, or needs another one"),
    (r"^python -m (tests|benchmarks)\b", "minutes, or figures that only a quiet machine gives"),
    (r"^dnn-surgery demo", "two minutes; tests/evaluation/test_demo.py runs it with less time for each figure"),
    (r"^dnn-surgery run .*--server-protocol oip", "needs a Triton; tests/test_export_docs.py runs the like of it"),
    (r"--learn |--codecs all|--codec codecs/", "minutes, hundreds of frames; tests/cli/test_accuracy.py runs it small"),
    (r"^dnn-surgery serve \S+=", "weights that do not come along; tests/cloud has servers of several models"),
    (r"^dnn-surgery evaluate regimes", "many minutes; tests/evaluation/test_regimes.py runs one case of it"),
    (r"^dnn-surgery evaluate paper", "minutes; tests/evaluation/test_paper.py runs it on fewer networks"),
    (r"^dnn-surgery evaluate traces --video", "hundreds of frames; tests/evaluation/test_video_uploads.py has fewer"),
)

# What is put in for a camera, of the machine or in the net (tests/edge/test_intake.py has a real RTSP server).
CAMERA, VIDEO = re.compile(r"rtsp://[^\s\"']+|(?<=--source )\d+"), "clip.mp4"


def why_not(command: str) -> str | None:
    """Why this command is not run; None where it is."""
    return next((reason for pattern, reason in UNRUN if re.search(pattern, command)), None)


# What a fragment takes as given, by page.
GIVEN: dict[str, str] = {
    "docs/live.md": "import numpy as np\npictures = [np.zeros((1, 224, 224, 3), np.uint8)] * 2",
    "docs/codecs.md": """
import numpy as np
from dnn_surgery import Link, load_model, make_engine, profile
graph = load_model("my_package:build", trust_model=True)
engine, link = make_engine(graph), Link(bandwidth_bps=1e6)
edge_profile = cloud_profile = profile(graph, engine=engine, repeats=2)
frames = [{graph.inputs[0]: np.random.default_rng(n).random((1, 3, 32, 32), np.float32)} for n in range(4)]
""",
    "docs/operations.md": """
from dnn_surgery import load_model, make_engine
from dnn_surgery.cloud.tokens import TokenFile
engine, tokens = make_engine(load_model("resnet18")), None
""",
}

# Whole pages that a test of their own runs, block by block.
OWN_TEST: dict[str, str] = {"docs/export.md": "tests/test_export_docs.py"}

# Minutes on two cores: beside the quick tests.
SLOW = frozenset({"docs/evaluation.md", "examples/raspberry-pi.md"})
