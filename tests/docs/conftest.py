"""What the pages take for granted: profiles, pictures, a video, files of one's own; made once a session."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from tests.certificates import Authority
from tests.docs.bench import PREPARED, Processes, Reader
from tests.docs.pages import ROOT, blocks
from tests.edge.streaming import write_video
from tests.evaluation.pictures import IMAGENET
from tests.onnx_files import REAL_FILES

MODULES = {
    "my_package": """
import torch

def build():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 10)), (torch.rand(1, 3, 32, 32),)
""",
    "my_module": """
def plan(problem, link, goal):
    return [layer.name for layer in problem.layers if not layer.inputs]
""",
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every page's reader starts with a copy of."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("tests", "src", "docs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("pictures", "footage"):
        (folder / name).mkdir()
        for path in IMAGENET[:2]:
            shutil.copy(path, folder / name)
    write_video(folder / "clip.mp4", frames=4)
    for name, code in MODULES.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / "problem.json").write_text(_shown("docs/planning.md", "json"), encoding="utf-8")
    authority = Authority(folder)
    for name in ("cloud", "device"):
        authority.sign(name)
    (folder / "tokens").write_text("camera1:0123456789abcdef\n", encoding="utf-8")
    (folder / "token.txt").write_text("0123456789abcdef\n", encoding="utf-8")
    (folder / "yolo.yaml").write_text(_shown("docs/own-model.md", "yaml"), encoding="utf-8")
    (folder / "yolo.onnx").symlink_to(REAL_FILES["yolov8"][0])
    (folder / "coco.txt").write_text("".join(f"label {number}\n" for number in range(18)), encoding="utf-8")
    # Nine minutes of a link of bytes a second, as the problem above is made for.
    (folder / "my.csv").write_text("".join(f"{60 * n},{[5, 2, 1, 8][n % 4]}\n" for n in range(10)), encoding="utf-8")
    assert main([*PREPARED[:-1], str(folder / PREPARED[-1]), "--repeats", "2", "--json"]) == 0
    shutil.copy(folder / "pi.json", folder / "server.json")
    with (folder / "run.jsonl").open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        picture = str(folder / "pictures" / IMAGENET[0].name)
        assert main(["run", "resnet18", "--local", "--source", picture, "--json"]) == 0
    return folder


def _shown(page: str, language: str) -> str:
    return next(block.text for block in blocks(page) if block.language == language)


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    running = Processes()
    yield running
    running.end()


@pytest.fixture
def reader(prepared: Path, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    folder = shutil.copytree(prepared, tmp_path / "reader", symlinks=True)
    monkeypatch.syspath_prepend(folder)
    yield Reader(folder, processes)
    # Another page's file of that name is another one.
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]
    sys.modules.pop("examples", None)
