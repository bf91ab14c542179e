"""Real models from end to end; the list is in models.py, and docs/models.md shows what came of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.breadth.checked import Entry, check
from tests.breadth.models import MODELS, QUICK, REFUSALS

torch.set_num_threads(1)

ENTRIES = {entry.name: entry for entry in MODELS}
ONE_ENGINE = [entry for entry in MODELS if entry.name not in QUICK and entry.name not in REFUSALS]


@pytest.mark.parametrize("name", QUICK)
def test_one_of_each_kind_on_every_engine(name: str) -> None:
    row = check(ENTRIES[name])
    assert row.works, row.note


@pytest.mark.slow
@pytest.mark.parametrize("entry", ONE_ENGINE, ids=lambda entry: entry.name)
def test_every_model_on_its_own_engine(entry: Entry) -> None:
    row = check(entry, ["onnxruntime" if entry.name.endswith(".onnx") else "torch"])
    assert row.works, row.note


@pytest.mark.parametrize(("name", "message"), REFUSALS.items())
def test_what_cannot_be_cut_is_refused_in_one_line(name: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    note = check(ENTRIES[name]).note
    assert re.search(message, note), note
    assert "\n" not in note
    assert len(note) < 200
    # torch prints the whole graph of some models that it refuses.
    assert capfd.readouterr() == ("", "")


def test_the_table_in_the_docs_has_a_row_for_each_model_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0].removeprefix("| ") for row in rows] == [entry.name for entry in MODELS]
    for row in rows:
        # Either results, or the reason why there are none.
        works = any(word in cell for cell in row[4:6] for word in ("equal to the bit", "within"))
        assert works != bool(row[6].strip(" |")), row[0]
