"""The corpus and its neighbours through the decoding path; the long run is `python -m tests.fuzz.decode`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.target import decode

INPUTS = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_an_input_of_the_corpus_and_its_neighbours_are_decoded_or_refused(path: Path) -> None:
    data, drawn = path.read_bytes(), random.Random(path.name)
    decode(data)
    for _ in range(50):
        spoilt = bytearray(data)
        for _ in range(drawn.randint(1, 4)):
            spoilt[drawn.randrange(len(spoilt))] = drawn.randrange(256)
        decode(bytes(spoilt[: drawn.randint(1, len(spoilt))]))


def test_every_kind_of_message_and_codec_has_a_right_input_in_the_corpus() -> None:
    assert seeds().keys() <= {path.name for path in INPUTS}


def test_the_fuzzer_reports_a_fault(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    code = "import tests.fuzz.target as target, tests.fuzz.decode as fuzz\n"
    code += "def broken(data): raise RuntimeError('a fault')\n"
    code += "target.decode = broken\nfuzz.main()"
    # The input goes to the working folder, which is none of the repository's.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CORPUS.parents[2]), *sys.path])}
    command = [sys.executable, "-c", code, "--runs", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode != 0
    assert "a fault" in done.stdout + done.stderr
    assert list(tmp_path.glob("crash-*"))
