"""The examples in docs/link.md and docs/sources.md do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dnn_surgery.cli.configuration import load_configuration
from dnn_surgery.cli.main import build_parser
from dnn_surgery.edge.source_specs import read_sources

ROOT = Path(__file__).parents[1]
LINK, SOURCES = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("link.md", "sources.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_a_link_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks(LINK, "python")[0], {})
    address, state = capsys.readouterr().out.splitlines()
    assert address.startswith("127.0.0.1:")
    assert "elapsed_s=None" in state


def test_a_trace_in_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(blocks(LINK, "python")[1], {})
    means, between, finish = capsys.readouterr().out.splitlines()
    assert all(float(value) > 0 for value in (*means.split(), between))
    assert float(finish) > 0.5


def test_every_flag_of_the_table_exists() -> None:
    for flags in re.findall(r"^\| `(--[^|]*)\|", LINK, flags=re.MULTILINE):
        for flag in re.findall(r"(--[a-z-]+) ([^`]+)", flags):
            build_parser().parse_args(["link", *flag])


def test_the_intake_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks(SOURCES, "python")[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == list("012345")
    assert "skipped=0, taken=3" in lines[6]


def test_the_configuration_and_the_list(tmp_path: Path) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(blocks(SOURCES, "yaml")[0], encoding="utf-8")
    configuration = load_configuration(path)
    assert (configuration.sources["gate"].rate_hz, configuration.sources["gate"].priority) == (5, 2)
    assert configuration.overload == "skip"
    path = tmp_path / "site.streams"
    path.write_text(blocks(SOURCES, "")[0], encoding="utf-8")
    assert [(spec.name, spec.rate_hz, spec.priority) for spec in read_sources([str(path)])] == [
        ("gate", 5, 2),
        ("rtsp://camera2/sub", 1, 0),
        ("archive/*.jpg", None, 0),
    ]
