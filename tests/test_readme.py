"""The README's examples do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dnn_surgery
from dnn_surgery.cli.configuration import load_configuration
from dnn_surgery.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_splitting_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert "True" in capsys.readouterr().out  # the plan is proved optimal
    answer = names["answer"]
    graph = names["graph"]
    assert isinstance(answer, dict)
    assert isinstance(graph, dnn_surgery.ModelGraph)
    assert tuple(answer) == graph.outputs


def test_a_plain_triton_client(capsys: pytest.CaptureFixture[str]) -> None:
    example = blocks("python")[1]
    assert "localhost:50051" in example
    with dnn_surgery.serve(dnn_surgery.load_model("efficientnet_lite0")) as server:
        exec(example.replace("localhost:50051", server.address), {})
    assert 0 <= int(capsys.readouterr().out) < 1000


def test_the_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(blocks("yaml")[0], encoding="utf-8")
    configuration = load_configuration(path)
    assert configuration.model.architecture == "VGG16"
    assert configuration.server.port == 50051


def test_the_configuration_of_an_own_network(tmp_path: Path) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(blocks("yaml")[1], encoding="utf-8")
    configuration = load_configuration(path)
    assert configuration.model.preprocess.size == (640, 640)
    assert configuration.model.postprocess.task == "detect"


def test_the_printed_plan_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    problem = ROOT / "tests" / "planning" / "data" / "paper-tiny-yolov2.json"
    assert main(["plan", str(problem), "--bandwidth", "4Mbit/s"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.strip().splitlines()]
    assert "\n".join(printed) in README
